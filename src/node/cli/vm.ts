import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { KlpemuError, printable } from "../../base/index.js";
import { unwritable, writeWhole } from "../files.js";
import { END_SIGNALS } from "../process-end.js";
import {
	type Accelerator,
	type BuiltKit,
	boot,
	buildKit,
	findKernel,
	type KitRun,
	type VmOptions,
} from "../vm/index.js";
import { type Command, EXIT, type Io } from "./command.js";

interface VmArguments {
	readonly kernel: string | undefined;
	readonly headers: string | undefined;
	readonly accel: string | undefined;
	readonly append: string | undefined;
	readonly timeout: bigint | undefined;
	readonly console: string | undefined;
}

const ACCELERATORS: readonly Accelerator[] = ["kvm", "tcg"];
/** Lines of the console that are shown when a machine fails. */
const LAST_LINES = 40;

export const vmCommand: Command<VmArguments> = {
	positionals: [{ name: "DIR", help: "kits that klpemu kit has written", many: true }],
	options: {
		kernel: { type: "text", value: "IMAGE", help: "a kernel (bzImage), instead of the newest one in /boot" },
		headers: { type: "text", value: "DIR", help: "its headers or build folder, instead of /lib/modules/VERSION/build" },
		accel: {
			type: "text",
			value: "ACCEL",
			help: "kvm or tcg (default: KVM where it works)",
			choices: () => [...ACCELERATORS],
		},
		append: { type: "text", value: "TEXT", help: "more parameters for the kernel, for example preempt=full" },
		timeout: {
			type: "uint64",
			value: "SECONDS",
			help: "limit of a boot with all its kits (default: 120, and 180 for each kit)",
		},
		console: { type: "text", value: "FILE", help: "write there what the machine prints, as it comes" },
	},
	details: [
		"Builds the kits, boots the kernel in QEMU with an initramfs of them, runs one after the other in one",
		"boot (a kit that leaves a module which cannot be unloaded ends it; the rest is booted again), and",
		"writes DIR/transcript.txt of each. Needs qemu-system-x86, busybox-static, make and gcc.",
		"Exit status: 0 all have run to their end, 1 not so, 2 bad input.",
		"Ctrl-C, SIGTERM and SIGHUP end the machine, and write the transcripts so far.",
	],
	async run({ kernel: image, headers, accel, append, timeout, console }, folders, io) {
		const progress = (text: string) => void io.stderr.write(`${printable(text)}\n`);
		const kernel = await findKernel(image, headers);
		const kits: BuiltKit[] = [];
		for (const folder of folders) {
			progress(`make in ${folder}`);
			const kit = await buildKit(folder, kernel);
			if (kits.some(({ name }) => name === kit.name)) {
				throw new KlpemuError("CLI_BAD_ARGUMENT", `two kits are called '${kit.name}'`, { where: "klpemu vm" });
			}
			kits.push(kit);
		}
		const log = console === undefined ? undefined : await ConsoleFile.create(console);
		const stop = new AbortController();
		const options: VmOptions = {
			...(log !== undefined && { onConsole: (text: string) => log.add(text) }),
			...{ kernel, progress, append: append ?? "", accel: accel as Accelerator | undefined },
			timeout: Number(timeout ?? BigInt(120 + 180 * kits.length)),
			signal: stop.signal,
		};
		// Boot ends the machine at a signal; with a listener here, the process goes on to write what there is.
		const onSignal = () => stop.abort();
		for (const signal of END_SIGNALS) process.on(signal, onSignal);
		try {
			const ended = await runAll(kits, options, io);
			log?.check();
			return ended ? EXIT.ok : EXIT.no;
		} finally {
			for (const signal of END_SIGNALS) process.off(signal, onSignal);
		}
	},
};

/** The file of --console. Where it cannot be written, the machine goes on: its transcripts are worth more. */
class ConsoleFile {
	readonly #path: string;
	#error: unknown;

	private constructor(path: string) {
		this.#path = path;
	}

	/** Throws `FILE_UNWRITABLE`. */
	static async create(path: string): Promise<ConsoleFile> {
		await writeWhole(path, "");
		return new ConsoleFile(path);
	}

	add(text: string): void {
		if (this.#error !== undefined) return;
		try {
			appendFileSync(this.#path, text);
		} catch (error) {
			this.#error = error;
		}
	}

	/** Throws `FILE_UNWRITABLE` if something is missing in the file. */
	check(): void {
		if (this.#error !== undefined) throw unwritable(this.#path, this.#error);
	}
}

/** Boots until every kit has had its turn. True: all of them ended. */
async function runAll(kits: readonly BuiltKit[], options: VmOptions, io: Io): Promise<boolean> {
	let left = kits;
	let good = true;
	while (left.length > 0) {
		const { runs, failure, console } = await boot(left, options);
		for (const run of runs) await report(run, io);
		good &&= failure === undefined && runs.length > 0;
		if (failure !== undefined) {
			const last = console.trimEnd().split("\n").slice(-LAST_LINES).join("\n");
			io.stderr.write(printable(`${failure}; the end of the console:\n${last}\n`));
		}
		if (runs.length === 0 || options.signal?.aborted) break;
		left = left.slice(runs.length);
	}
	return good;
}

async function report({ kit, transcript, status }: KitRun, { stdout }: Io): Promise<void> {
	const file = join(kit.folder, "transcript.txt");
	await writeWhole(file, transcript);
	const kept = /^.*### LEFT (.*?) \(/m.exec(transcript)?.[1];
	const end =
		status === undefined
			? "did not come to its end"
			: status === 0
				? "has run"
				: kept === undefined
					? `ended with status ${status}`
					: `has run; cannot be unloaded: ${kept}`;
	stdout.write(printable(`${kit.name}: ${end}; ${file}\n`));
}
