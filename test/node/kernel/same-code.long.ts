/**
 * What klpemu kernel build compiles is what Debian's kernel runs: each function of kernel/livepatch, and the kernel's trampolines,
 * are in Debian's vmlinuz with the same bytes, apart from the operands that the linker writes.
 */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { type ElfSymbol, relocationSize } from "../../../src/elf/index.js";
import type { KernelCore } from "../../../src/linux/klp-c/index.js";
import { kernelCore } from "../../support/kernel-core.js";
import { skipBecause } from "../../support/skip.js";

/** Shorter functions are found in many places. */
const SHORT = 24;
/** Stand in klpemu/, for functions of the kernel that the machine has in its own way. */
const OURS = ["idle_task", "task_call_func", "__init_swait_queue_head", "strcmp", "kstrtobool", "_find_next_bit"];

/** The kernel in a bzImage (Documentation/arch/x86/boot.rst: setup_sects, payload_offset, payload_length); zstd, then its size. */
function unpackKernel(image: Buffer): Buffer {
	const setup = (image[0x1f1]! + 1) * 512;
	const start = setup + image.readUInt32LE(0x248);
	const payload = image.subarray(start, start + image.readUInt32LE(0x24c) - 4);
	return execFileSync("zstd", ["-dc"], { input: payload, maxBuffer: 1 << 28 });
}

interface Code {
	readonly bytes: Uint8Array;
	/** By byte: no relocation writes it. */
	readonly fixed: readonly boolean[];
}

function codeOf({ object }: KernelCore, { section, value, size }: ElfSymbol): Code {
	const { data, relocations } = object.sections[section]!;
	const fixed = new Array<boolean>(size).fill(true);
	for (const { offset, type } of relocations) {
		if (offset >= value && offset < value + size)
			fixed.fill(false, offset - value, offset - value + relocationSize(type)!);
	}
	return { bytes: data.subarray(value, value + size), fixed };
}

/** The longest run of bytes that no relocation writes: [start, end). */
function longestRun({ fixed }: Code): [number, number] {
	let best: [number, number] = [0, 0];
	for (let start = 0, end = 0; start < fixed.length; start = end + 1) {
		for (end = start; end < fixed.length && fixed[end]; ) end++;
		if (end - start > best[1] - best[0]) best = [start, end];
	}
	return best;
}

function occurrences(kernel: Buffer, code: Code): number {
	const [start, end] = longestRun(code);
	const run = code.bytes.subarray(start, end);
	let count = 0;
	for (let at = kernel.indexOf(run); at >= 0; at = kernel.indexOf(run, at + 1)) {
		if (code.bytes.every((byte, i) => !code.fixed[i] || kernel[at - start + i] === byte)) count++;
	}
	return count;
}

test("the functions of the core are those of Debian's vmlinuz, byte for byte", async ({ skip }) => {
	const core = await kernelCore(skip);
	const file = `/boot/vmlinuz-${core.info.release}`;
	if (!existsSync(file)) skipBecause(skip, `there is no ${file}: apt-get install -y linux-image-${core.info.release}`);
	try {
		execFileSync("zstd", ["--version"]);
	} catch {
		skipBecause(skip, "there is no zstd to unpack a kernel: apt-get install -y zstd");
	}
	const kernel = unpackKernel(await readFile(file));
	const text = core.object.sections.findIndex(({ name }) => name === ".text");
	const functions = core.object.symbols.filter(
		({ type, section, size, name }) =>
			type === "func" && section === text && size >= SHORT && !name.startsWith("__pfx_"),
	);
	const counts = new Map(functions.map((symbol) => [symbol.name, occurrences(kernel, codeOf(core, symbol))]));
	for (const name of OURS) expect([name, counts.get(name)]).toEqual([name, 0]);
	const others = [...counts].filter(([name]) => !OURS.includes(name));
	expect(others.filter(([, count]) => count !== 1)).toEqual([]);
	// All of kernel/livepatch, with its longest and its hottest function.
	expect(others.length).toBeGreaterThan(55);
	expect(others.map(([name]) => name)).toEqual(expect.arrayContaining(["klp_enable_patch", "klp_ftrace_handler"]));
	expect(others.map(([name]) => name)).toEqual(expect.arrayContaining(["ftrace_caller", "ftrace_regs_caller"]));
});
