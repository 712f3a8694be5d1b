import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { KlpemuError } from "../../base/index.js";
import { whenProcessEnds } from "../process-end.js";
import { withTemporaryFolder } from "../temporary.js";
import { initramfs, MARK } from "./initramfs.js";
import type { BuiltKit, VmKernel } from "./kits.js";

export type Accelerator = "kvm" | "tcg";

export interface VmOptions {
	readonly kernel: VmKernel;
	/** undefined: KVM where it works. */
	readonly accel: Accelerator | undefined;
	/** Further parameters for the kernel. */
	readonly append: string;
	/** TCG: time in which nothing runs passes at once (-icount sleep=off). */
	readonly skipsIdleTime?: boolean;
	/** Seconds for one boot with all its kits. */
	readonly timeout: number;
	readonly progress: (text: string) => void;
	/** Gets what the console prints, as it comes. */
	readonly onConsole?: (text: string) => void;
	/** Aborted when the process is told to end, which ends the machine. */
	readonly signal?: AbortSignal;
}

/** How one kit ended. */
export interface KitRun {
	readonly kit: BuiltKit;
	/** What the kernel and run.sh logged, one line each. */
	readonly transcript: string;
	/** Exit status of run.sh; undefined: the kernel or the time ended before. */
	readonly status: number | undefined;
}

export interface Boot {
	readonly runs: readonly KitRun[];
	/** Why it ended early; undefined: init has come to its end. */
	readonly failure: string | undefined;
	/** All that was on the console. */
	readonly console: string;
}

/** Seconds until a kernel under KVM must have said something. Where KVM is there but runs no such kernel, nothing is ever printed. */
const KVM_SECONDS = 15;

/** Boots a machine with some kits, and runs them one after the other. Throws `VM_QEMU`. */
export async function boot(kits: readonly BuiltKit[], options: VmOptions): Promise<Boot> {
	const accel = options.accel ?? (kvmIsThere() ? "kvm" : "tcg");
	const first = await bootWith(accel, kits, options);
	if (first !== "silent") return first;
	if (options.accel === "kvm")
		throw qemuError("under KVM the kernel prints nothing", "--accel tcg emulates the processor");
	options.progress("KVM does not run this kernel here: TCG instead");
	return (await bootWith("tcg", kits, options)) as Boot;
}

function kvmIsThere(): boolean {
	try {
		accessSync("/dev/kvm", constants.R_OK | constants.W_OK);
		return true;
	} catch {
		return false;
	}
}

function qemuError(message: string, hint: string, cause?: unknown): KlpemuError {
	return new KlpemuError("VM_QEMU", message, { hint, cause });
}

function command(accel: Accelerator, kits: readonly BuiltKit[], initrd: string, options: VmOptions): string[] {
	const append = [
		"console=ttyS0 panic=-1 ignore_loglevel printk.devkmsg=on log_buf_len=4M livepatch.dyndbg=+p",
		...new Set(kits.map((kit) => kit.append)),
		options.append,
	];
	// One thread: QEMU's emulator with several of them loses instructions that the kernel exchanges.
	const machine = accel === "tcg" ? ["-accel", "tcg,thread=single", "-cpu", "max"] : ["-accel", "kvm", "-cpu", "host"];
	const icount = accel === "tcg" && options.skipsIdleTime ? ["-icount", "shift=3,sleep=off"] : [];
	return [
		...machine,
		...icount,
		...["-m", "1024", "-smp", String(Math.max(2, ...kits.map(({ cpus }) => cpus)))],
		...["-kernel", options.kernel.image, "-initrd", initrd, "-append", append.join(" ").trim()],
		...["-nodefaults", "-nic", "none", "-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot"],
	];
}

/** `silent`: KVM, and not a word of the kernel. */
function bootWith(accel: Accelerator, kits: readonly BuiltKit[], options: VmOptions): Promise<Boot | "silent"> {
	return withTemporaryFolder(async (folder) => {
		const initrd = join(folder, "initramfs.gz");
		await writeFile(initrd, await initramfs(kits));
		return await new Promise<Boot | "silent">((resolve, reject) => {
			const child = spawn("qemu-system-x86_64", command(accel, kits, initrd, options), {
				stdio: ["ignore", "pipe", "pipe"],
			});
			const letGo = whenProcessEnds(() => child.kill("SIGKILL"), { first: true });
			const console_ = new Console(kits, options.progress);
			let failure: string | undefined;
			let silent = false;
			const stop = (why: string) => {
				failure ??= why;
				child.kill("SIGKILL");
			};
			const timer = setTimeout(() => stop(`time limit: ${options.timeout} s`), options.timeout * 1000);
			const mute = setTimeout(() => {
				silent = accel === "kvm" && console_.text === "";
				if (silent) stop("silent");
			}, KVM_SECONDS * 1000);
			let stderr = "";
			child.stdout.on("data", (chunk: Buffer) => {
				const text = chunk.toString("latin1");
				options.onConsole?.(text);
				console_.add(text);
			});
			child.stderr.on("data", (chunk: Buffer) => {
				stderr += chunk.toString("latin1");
			});
			options.progress(`booting Linux ${options.kernel.version} (${accel})`);
			const end = () => {
				clearTimeout(timer);
				clearTimeout(mute);
				void letGo();
			};
			child.on("error", (cause) => {
				end();
				reject(qemuError("qemu-system-x86_64 cannot be started", "apt-get install -y qemu-system-x86", cause));
			});
			child.on("close", (code) => {
				end();
				const failed = accel === "kvm" && console_.text === "";
				if (silent || (failed && options.accel === undefined)) return resolve("silent");
				if (options.signal?.aborted) failure ??= "interrupted";
				if (code !== 0 && failure === undefined) failure = `QEMU ends with ${code}: ${stderr.trim()}`;
				resolve(console_.end(failure));
			});
		});
	});
}

/** Splits what comes from the serial line into transcripts. */
class Console {
	text = "";
	readonly #kits: readonly BuiltKit[];
	readonly #progress: (text: string) => void;
	readonly #start = performance.now();
	readonly #runs: { kit: BuiltKit; lines: string[]; status: number | undefined }[] = [];
	#rest = "";
	#ended = false;
	#open = false;

	constructor(kits: readonly BuiltKit[], progress: (text: string) => void) {
		this.#kits = kits;
		this.#progress = progress;
	}

	add(chunk: string): void {
		this.text += chunk;
		const lines = (this.#rest + chunk).split("\n");
		this.#rest = lines.pop()!;
		for (const line of lines) this.#line(line.replaceAll("\r", ""));
	}

	#line(line: string): void {
		const mark = /(KLPVM-\w+)(?: (\S+))?(?: (\d+))?$/.exec(line);
		const seconds = `${((performance.now() - this.#start) / 1000).toFixed(0)} s`;
		if (mark?.[1] === MARK.kit) {
			this.#runs.push({ kit: this.#kits.find(({ name }) => name === mark[2])!, lines: [], status: undefined });
			this.#open = true;
			this.#progress(`${seconds}: ${mark[2]} begins`);
		} else if (mark?.[1] === MARK.status) {
			this.#runs.at(-1)!.status = Number(mark[3]);
			this.#open = false;
			this.#progress(`${seconds}: ${mark[2]} has ended`);
		} else if (mark?.[1] === MARK.end) this.#ended = true;
		else if (this.#open) this.#runs.at(-1)!.lines.push(line);
	}

	end(failure: string | undefined): Boot {
		const runs = this.#runs.map(({ kit, lines, status }) => ({ kit, status, transcript: `${lines.join("\n")}\n` }));
		const early = this.#ended
			? undefined
			: "the machine ended before its last kit: the kernel has crashed, or never started";
		return { runs, failure: failure ?? early, console: this.text.replaceAll("\r", "") };
	}
}
