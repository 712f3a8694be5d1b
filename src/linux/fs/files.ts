import type { Machine } from "../../machine/index.js";
import { toU64 } from "../../memory/index.js";
import { kstrtobool } from "../klp/index.js";
import { EACCES, EINVAL, ENOENT, KERN, type Kernel, S_IFDIR } from "../lib/index.js";

/** One part of the file tree. Paths are absolute, texts are whole files with their newlines. */
interface Mount {
	/** Files and directories, in order. */
	paths(): string[];
	/** Permission bits, and S_IFDIR for a directory; undefined: there is no such file. */
	mode(path: string): number | undefined;
	/** The text, or a negative errno. */
	read(path: string): Kernel<string | number>;
	/** 0 or a negative errno. */
	write(path: string, value: string): Kernel<number>;
}

const LIVEPATCH = "/sys/kernel/livepatch";
const MODULE = "/sys/module";
const TRACING = "/sys/kernel/tracing";
const CPU = "/sys/devices/system/cpu";
const FTRACE_ENABLED = "/proc/sys/kernel/ftrace_enabled";
const KMSG = "/dev/kmsg";
const DYNAMIC_DEBUG = "/sys/kernel/debug/dynamic_debug/control";

/** Room for a struct seq_file; only its address counts. */
const SEQ_FILE = 64;

/** Every file that a scenario can read or write: what sysfs, procfs and /dev have of livepatch, ftrace and modules. */
export class Files {
	readonly #machine: Machine;
	readonly #mounts: readonly Mount[];

	constructor(machine: Machine) {
		this.#machine = machine;
		this.#mounts = [
			this.#livepatch(),
			this.#modules(),
			this.#kobjects(),
			this.#proc(),
			this.#ftraceEnabled(),
			this.#below(TRACING, this.#machine.tracefs),
			this.#cpus(),
			this.#kmsg(),
			this.#dynamicDebug(),
		];
	}

	/** All paths, in order. */
	paths(): string[] {
		return this.#mounts.flatMap((mount) => mount.paths());
	}

	/** `-rw-r--r--`, as stat --format %A prints it; undefined: there is no such file. */
	rights(path: string): string | undefined {
		const mode = this.#mountOf(path)?.mode(path);
		if (mode === undefined) return undefined;
		const bits = [..."rwxrwxrwx"].map((letter, index) => (mode & (0o400 >> index) ? letter : "-"));
		return (mode & S_IFDIR ? "d" : "-") + bits.join("");
	}

	#mountOf(path: string): Mount | undefined {
		return this.#mounts.find((mount) => mount.mode(path) !== undefined);
	}

	/** The text of a file, with its newline, or a negative errno. */
	*read(path: string): Kernel<string | number> {
		const mount = this.#mountOf(path);
		if (mount === undefined) return -ENOENT;
		if ((mount.mode(path)! & 0o444) === 0 || mount.mode(path)! & S_IFDIR) return -EACCES;
		return yield* mount.read(path);
	}

	/** Writes to a file: 0 or a negative errno. */
	*write(path: string, value: string): Kernel<number> {
		const mount = this.#mountOf(path);
		if (mount === undefined) return -ENOENT;
		if ((mount.mode(path)! & 0o222) === 0 || mount.mode(path)! & S_IFDIR) return -EACCES;
		return yield* mount.write(path, value);
	}

	/** A mount whose own paths are relative to a folder. */
	#below(folder: string, inner: Mount): Mount {
		const relative = (path: string) => (path.startsWith(`${folder}/`) ? path.slice(folder.length + 1) : undefined);
		return {
			paths: () => inner.paths().map((path) => `${folder}/${path}`),
			mode(path) {
				const rest = relative(path);
				return rest === undefined ? undefined : inner.mode(rest);
			},
			read: (path) => inner.read(relative(path)!),
			write: (path, value) => inner.write(relative(path)!, value),
		};
	}

	#livepatch(): Mount {
		const { sysfs } = this.#machine;
		return this.#below(LIVEPATCH, {
			paths: () => sysfs.paths(),
			mode: (path) => sysfs.mode(path),
			*read(path) {
				yield "sysfs_kf_read";
				const text = sysfs.read(path);
				return typeof text === "number" ? text : `${text}\n`;
			},
			write: (path, value) => sysfs.write(path, value),
		});
	}

	#modules(): Mount {
		const { loader } = this.#machine;
		return this.#below(MODULE, {
			paths: () => loader.paths(),
			mode: (path) => loader.mode(path),
			read: (path) => loader.read(path),
			write: (path, value) => loader.write(path, value),
		});
	}

	#kobjects(): Mount {
		return this.#machine.guest.kobjects;
	}

	#proc(): Mount {
		const task = (path: string) => {
			const [, who] = /^\/proc\/(.+)\/patch_state$/.exec(path) ?? [];
			return this.#machine.sched.tasks.find(({ pid, comm }) => String(pid) === who || comm === who);
		};
		/** /proc/NAME is shown by NAME_proc_show() of vmlinux, where there is such a function. */
		const show = (path: string) => {
			const [, name] = /^\/proc\/(\w+)$/.exec(path) ?? [];
			return name === undefined ? undefined : this.#machine.vmlinux.symbol(`${name}_proc_show`)?.address;
		};
		const shown = () =>
			this.#machine.vmlinux.symbols.flatMap(({ name, type }) =>
				type === "func" && name.endsWith("_proc_show") ? [`/proc/${name.slice(0, -"_proc_show".length)}`] : [],
			);
		const { guest } = this.#machine;
		return {
			paths: () => [...shown(), ...this.#machine.sched.tasks.map(({ pid }) => `/proc/${pid}/patch_state`)],
			mode: (path) => (task(path) !== undefined ? 0o400 : show(path) === undefined ? undefined : 0o444),
			*read(path) {
				const found = task(path);
				if (found !== undefined) return `${found.patch_state}\n`;
				const m = guest.heap.kmalloc(SEQ_FILE, true);
				const ret = Number(BigInt.asIntN(32, yield* guest.calls.call(show(path)!, toU64(m), 0n)));
				const text = guest.output.takeFile(m);
				guest.heap.kfree(m);
				return ret < 0 ? ret : text;
			},
			*write() {
				yield "proc_reg_write";
				return -EACCES;
			},
		};
	}

	#ftraceEnabled(): Mount {
		const { ftrace } = this.#machine;
		return {
			paths: () => [FTRACE_ENABLED],
			mode: (path) => (path === FTRACE_ENABLED ? 0o644 : undefined),
			*read() {
				yield "proc_sys_read";
				return `${Number(ftrace.ftrace_enabled)}\n`;
			},
			*write(_path, value) {
				if (!/^\d+\n?$/.test(value)) return -EINVAL;
				return yield* ftrace.ftrace_enable_sysctl(Number(value) !== 0);
			},
		};
	}

	/** Which CPUs are online; all but the first can be told to come and go (drivers/base/cpu.c). */
	#cpus(): Mount {
		const { sched, hotplug } = this.#machine;
		const list = `${CPU}/online`;
		const cpuOf = (path: string) => {
			const [, id] = /\/cpu(\d+)\/online$/.exec(path) ?? [];
			return path === `${CPU}/cpu${id}/online` && Number(id) > 0 ? sched.cpus[Number(id)] : undefined;
		};
		return {
			paths: () => [list, ...sched.cpus.slice(1).map(({ id }) => `${CPU}/cpu${id}/online`)],
			mode: (path) => (path === list ? 0o444 : cpuOf(path) === undefined ? undefined : 0o644),
			*read(path) {
				yield "dev_attr_show";
				if (path === list) return `${ranges(sched.cpus.flatMap(({ id, online }) => (online ? [id] : [])))}\n`;
				return `${Number(cpuOf(path)!.online)}\n`;
			},
			*write(path, value) {
				const online = kstrtobool(value);
				if (online === undefined) return -EINVAL;
				const { id } = cpuOf(path)!;
				return yield* online ? hotplug.cpu_up(id) : hotplug.cpu_down(id);
			},
		};
	}

	/** All debug messages are on; `func NAME -p` switches those of one function off, `+p` on again. It cannot be read here. */
	#dynamicDebug(): Mount {
		const { dmesg } = this.#machine;
		return {
			paths: () => [DYNAMIC_DEBUG],
			mode: (path) => (path === DYNAMIC_DEBUG ? 0o200 : undefined),
			*read() {
				yield "ddebug_proc_read";
				return -EACCES;
			},
			*write(_path, value) {
				yield "ddebug_proc_write";
				const [, func, flag] = /^func (\w+) ([-+])p\n?$/.exec(value) ?? [];
				if (func === undefined) return -EINVAL;
				if (flag === "-") dmesg.debugOff.add(func);
				else dmesg.debugOff.delete(func);
				return 0;
			},
		};
	}

	#kmsg(): Mount {
		const { dmesg } = this.#machine;
		return {
			paths: () => [KMSG],
			mode: (path) => (path === KMSG ? 0o200 : undefined),
			*read() {
				yield "devkmsg_read";
				return -EACCES;
			},
			*write(_path, value) {
				yield "devkmsg_write";
				for (const line of value.replace(/\n$/, "").split("\n")) dmesg.print(KERN.NOTICE, line);
				return 0;
			},
		};
	}
}

/** `0-1,3`: numbers in ascending order, as the kernel prints a bitmap (%*pbl). */
function ranges(numbers: readonly number[]): string {
	const runs: [number, number][] = [];
	for (const number of numbers) {
		const last = runs.at(-1);
		if (last !== undefined && last[1] === number - 1) last[1] = number;
		else runs.push([number, number]);
	}
	return runs.map(([from, to]) => (from === to ? String(from) : `${from}-${to}`)).join(",");
}
