/** Builds and runs the native side of the benchmark, on the hardware and under qemu-user. */
import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { decodeCode } from "../../src/assemble/index.js";
import type { KernelCore } from "../../src/linux/klp-c/index.js";
import { compile, engineImage, PROJECT } from "../../src/node/index.js";

const run = promisify(execFile);

/** What kernel.c must know of the kernel's structs, as far as they have it: a patched core may have no nops. */
const OFFSETS = {
	KLP_OPS_FOPS: "klp_ops.fops",
	KLP_OPS_FUNC_STACK: "klp_ops.func_stack",
	KLP_FUNC_STACK_NODE: "klp_func.stack_node",
	KLP_FUNC_NEW_FUNC: "klp_func.new_func",
	KLP_FUNC_NOP: "klp_func.nop",
	KLP_FUNC_LEAVING: "klp_func.leaving",
	KLP_FUNC_TRANSITION: "klp_func.transition",
	TASK_PATCH_STATE: "task_struct.patch_state",
	PCPU_CURRENT_TASK: "pcpu_hot.current_task",
	PCPU_PREEMPT_COUNT: "pcpu_hot.preempt_count",
} as const;

/** Nanoseconds per unit by row, and the results for a few units, which must equal those of every other Cpu. */
export type Rows = ReadonlyMap<string, { readonly ns: number; readonly result: bigint }>;

export class Native {
	readonly #program: string;
	readonly #args: readonly string[];

	private constructor(program: string, args: readonly string[]) {
		this.#program = program;
		this.#args = args;
	}

	/** Compiles guest.c as the guest is compiled, and links it with native.c at low addresses. */
	static async build(): Promise<Native> {
		const folder = join(PROJECT, ".cache", "bench-cpu");
		await mkdir(folder, { recursive: true });
		const object = join(folder, "guest.o");
		await writeFile(object, (await compile(join(PROJECT, "bench/cpu/guest.c"), {})).bytes);
		const program = join(folder, "native");
		const source = join(PROJECT, "bench/cpu/native.c");
		await run("gcc", ["-O2", "-no-pie", "-fno-pie", "-fcf-protection=none", source, object, "-o", program]);

		const code = decodeCode((await engineImage()).ftrace);
		const at = (name: string) => code.symbols.get(name)! - code.base;
		const [start, end] = [at("ftrace_caller"), at("ftrace_caller_end")];
		const hex = Buffer.from(code.bytes.subarray(start, end)).toString("hex");
		const offsets = [at("ftrace_caller_op_ptr") - start, at("ftrace_call") - start];
		return new Native(program, [hex, ...offsets.map(String)]);
	}

	/** The same of the kernel's own code: guest.c linked with a kernel core file; rows loop, call, redirect, and the cases of a transition. */
	static async buildKernel(core: KernelCore, file: string): Promise<Native> {
		const folder = join(PROJECT, ".cache", "bench-cpu");
		await mkdir(folder, { recursive: true });
		const [guest, object, program] = ["guest-ibt.o", "core.o", "kernel"].map((name) => join(folder, name)) as [
			...[string, string, string],
		];
		await writeFile(guest, (await compile(join(PROJECT, "bench/cpu/guest.c"), { ibt: true })).bytes);
		// A name that C can have, and a handler that is static in the kernel.
		const rename = ["--rename-section", ".return_sites=return_sites", "--globalize-symbol=klp_ftrace_handler"];
		await run("objcopy", [...rename, file, object]);
		const there = Object.entries(OFFSETS).filter(([, field]) => core.layout.has(field));
		const offsets = there.map(([name, field]) => `-D${name}=${core.layout.offset(field)}`);
		const flags = ["-O2", "-no-pie", "-fno-pie", "-fcf-protection=none", "-Wl,--unresolved-symbols=ignore-all"];
		const source = join(PROJECT, "bench/cpu/kernel.c");
		await run("gcc", [...flags, ...offsets, source, guest, object, "-o", program]);
		return new Native(program, []);
	}

	/** Runs all rows, each for about the given number of milliseconds; `emulator`: a program that runs it. */
	async rows(milliseconds: number, emulator?: string): Promise<Rows> {
		const args = [...this.#args, String(milliseconds)];
		const { stdout } = emulator ? await run(emulator, [this.#program, ...args]) : await run(this.#program, args);
		return new Map(
			stdout
				.trim()
				.split("\n")
				.map((line) => line.split(" "))
				.map(([name, ns, result]) => [name!, { ns: Number(ns), result: BigInt(result!) }]),
		);
	}
}

/** The path of `qemu-x86_64`, if it is installed. */
export async function findQemu(): Promise<string | undefined> {
	return run("qemu-x86_64", ["--version"]).then(
		() => "qemu-x86_64",
		() => undefined,
	);
}
