import type { Image } from "../../elf/index.js";
import { type Kaddr, toU64 } from "../../memory/index.js";
import type { GuestOutput } from "../exports/index.js";
import type { Ftrace } from "../ftrace/index.js";
import type { GuestCalls, Heap } from "../guest/index.js";
import { EACCES, EINVAL, type Kernel } from "../lib/index.js";
import { type LoadedModule, showModules } from "../module/index.js";
import type { Sched, task_struct } from "../sched/index.js";
import type { Mount, OpenFile } from "./files.js";

/** Room for a struct seq_file; only its address counts. */
const SEQ_FILE = 64;
const SHOW = "_proc_show";

/** /proc/PID/patch_state, and /proc/NAME for each function NAME_proc_show() of vmlinux, which prints the file. */
export class Procfs implements Mount {
	readonly #sched: Sched;
	readonly #vmlinux: Image;
	readonly #heap: Heap;
	readonly #calls: GuestCalls;
	readonly #output: GuestOutput;

	constructor(sched: Sched, vmlinux: Image, heap: Heap, calls: GuestCalls, output: GuestOutput) {
		this.#sched = sched;
		this.#vmlinux = vmlinux;
		this.#heap = heap;
		this.#calls = calls;
		this.#output = output;
	}

	paths(): string[] {
		const shown = this.#vmlinux.symbols.filter(({ name, type }) => type === "func" && name.endsWith(SHOW));
		return [
			...shown.map(({ name }) => `/proc/${name.slice(0, -SHOW.length)}`),
			...this.#sched.tasks.map(({ pid }) => `/proc/${pid}/patch_state`),
		];
	}

	open(path: string): OpenFile | undefined {
		const [, key] = /^\/proc\/(.+)\/patch_state$/.exec(path) ?? [];
		const task = this.#sched.tasks.find(({ pid, comm }) => String(pid) === key || comm === key);
		if (task !== undefined) return { mode: 0o400, read: () => this.#patch_state(task), write: refuse };
		const [, name] = /^\/proc\/(\w+)$/.exec(path) ?? [];
		const show = name === undefined ? undefined : this.#vmlinux.symbol(name + SHOW)?.address;
		return show === undefined ? undefined : { mode: 0o444, read: () => this.#show(show), write: refuse };
	}

	// biome-ignore lint/correctness/useYield: kernel code in one step
	*#patch_state(task: task_struct): Kernel<string> {
		return `${task.patch_state}\n`;
	}

	*#show(show: Kaddr): Kernel<string | number> {
		const m = this.#heap.kmalloc(SEQ_FILE, true);
		const ret = Number(BigInt.asIntN(32, yield* this.#calls.call(show, toU64(m), 0n)));
		const text = this.#output.takeFile(m);
		this.#heap.kfree(m);
		return ret < 0 ? ret : text;
	}
}

function* refuse(): Kernel<number> {
	yield "proc_reg_write";
	return -EACCES;
}

const FTRACE_ENABLED = "/proc/sys/kernel/ftrace_enabled";

/** sysctl kernel.ftrace_enabled */
export function mountFtraceEnabled(ftrace: Ftrace): Mount {
	const file: OpenFile = {
		mode: 0o644,
		*read() {
			yield "proc_sys_read";
			return `${Number(ftrace.ftrace_enabled)}\n`;
		},
		*write(value) {
			if (!/^\d+\n?$/.test(value)) return -EINVAL;
			return yield* ftrace.ftrace_enable_sysctl(Number(value) !== 0);
		},
	};
	return { paths: () => [FTRACE_ENABLED], open: (path) => (path === FTRACE_ENABLED ? file : undefined) };
}

const MODULES = "/proc/modules";

/** /proc/modules: what lsmod shows. */
export function mountModules(modules: ReadonlyMap<string, LoadedModule>): Mount {
	const file: OpenFile = {
		mode: 0o444,
		*read() {
			yield "m_show";
			return showModules(modules);
		},
		write: refuse,
	};
	return { paths: () => [MODULES], open: (path) => (path === MODULES ? file : undefined) };
}
