import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { assemble } from "../../src/assemble/index.js";
import { KlpemuError } from "../../src/base/index.js";
import { linkImage, parseElf } from "../../src/elf/index.js";
import { type Kaddr, Memory } from "../../src/memory/index.js";
import { loadKeystone } from "../../src/node/index.js";
import { skipBecause } from "../support/skip.js";

const BASE = -0x7f000000;
const FUNCTION_TRACE_OP = -0x7e000000;
const source = readFileSync(new URL("../../asm/ftrace_64.S", import.meta.url), "utf8");
const GATES = ["ftrace_return_to_handler", "arch_rethook_trampoline_callback"];
const names = ["function_trace_op", ...GATES];
const externals = Object.fromEntries(names.map((name) => [name, FUNCTION_TRACE_OP]));
const keystone = await loadKeystone();
const assembled = assemble(keystone, source, "asm/ftrace_64.S", BASE, externals);
const at = (label: string) => assembled.symbols.get(label)! - BASE;

async function failure(text: string): Promise<KlpemuError> {
	try {
		assemble(keystone, text, "bad.S", BASE, externals);
	} catch (error) {
		if (error instanceof KlpemuError) return error;
		throw error;
	}
	throw new Error("no error");
}

const bytesOf = async (text: string) => [...assemble(keystone, text, "t.S", BASE, externals).bytes];

const hasGcc = (() => {
	try {
		execFileSync("gcc", ["--version"]);
		return true;
	} catch {
		return false;
	}
})();

/** The same source by GNU as, linked by our own loader. */
function byGnuAs(text: string): Uint8Array {
	const folder = mkdtempSync(join(tmpdir(), "klpemu-test-"));
	try {
		const path = join(folder, "t.S");
		writeFileSync(path, text.replace(/^UNWIND_HINT.*$/gm, ""));
		execFileSync("gcc", ["-c", "t.S", "-o", "t.o"], { cwd: folder });
		const object = parseElf(readFileSync(join(folder, "t.o")), "t.o");
		const memory = new Memory({ bytes: 1 << 20 });
		const resolve = (name: string): Kaddr | undefined => (name in externals ? FUNCTION_TRACE_OP : undefined);
		const image = linkImage({ name: "t", objects: [object], base: BASE, memory, resolve });
		const [text_] = image.sections(".text");
		return memory.read(text_!.address, text_!.size);
	} finally {
		rmSync(folder, { recursive: true });
	}
}

describe("asm/ftrace_64.S", () => {
	it("is byte for byte what GNU as makes of it", ({ skip }) => {
		if (!hasGcc) skipBecause(skip, "there is no gcc");
		expect(Buffer.from(assembled.bytes).toString("hex")).toBe(Buffer.from(byGnuAs(source)).toString("hex"));
	});

	it("loads its ops RIP-relative, where create_trampoline patches it", () => {
		for (const label of ["ftrace_caller_op_ptr", "ftrace_regs_caller_op_ptr"]) {
			const offset = at(label);
			expect([...assembled.bytes.subarray(offset, offset + 3)]).toEqual([0x48, 0x8b, 0x15]);
			const displacement = new DataView(assembled.bytes.buffer).getInt32(offset + 3, true);
			expect(BASE + offset + 7 + displacement).toBe(FUNCTION_TRACE_OP);
		}
	});

	it("has a five byte call at the call labels, a short jnz, and a RET at the ends", () => {
		for (const label of ["ftrace_call", "ftrace_regs_call"]) {
			expect(assembled.bytes[at(label)]).toBe(0xe8);
			const displacement = new DataView(assembled.bytes.buffer).getInt32(at(label) + 1, true);
			expect(at(label) + 5 + displacement).toBe(at("ftrace_stub"));
		}
		expect(assembled.bytes[at("ftrace_regs_caller_jmp")]).toBe(0x75);
		expect(assembled.bytes[at("ftrace_caller_end")]).toBe(0xc3);
		expect(assembled.bytes[at("ftrace_regs_caller_end")]).toBe(0xc3);
	});

	it("says where the caller's frame is, wherever the stack pointer changes", () => {
		const cfa = (offset: number) => assembled.hints.row(offset)?.cfaOffset;
		const start = at("ftrace_caller");
		// subq $168, %rsp takes seven bytes.
		expect([cfa(start), cfa(start + 6), cfa(start + 7)]).toEqual([8, 8, 176]);
		expect(cfa(at("ftrace_call"))).toBe(176);
		expect(assembled.hints.row(at("ftrace_call"))?.signal).toBe(false);
		expect(assembled.hints.row(at("ftrace_caller_end"))).toMatchObject({ cfaOffset: 8, raOffset: -8, signal: true });
		expect(cfa(at("ftrace_regs_call"))).toBe(184);
		expect(cfa(at("ftrace_regs_caller_end"))).toBe(8);
	});
});

describe("asm/entry_64.S", () => {
	it("ends the stack in its first frames only", async () => {
		const text = readFileSync(new URL("../../asm/entry_64.S", import.meta.url), "utf8");
		const gates = [...text.matchAll(/\bcall ([a-z_]+)/g)].map((match) => match[1]!);
		const entry = assemble(
			keystone,
			text,
			"asm/entry_64.S",
			BASE,
			Object.fromEntries(gates.map((name) => [name, BASE])),
		);
		for (const [label, end] of [
			["entry_SYSCALL_64", true],
			[".Ldo_syscall_64_loop", false],
			["ret_from_fork_asm", true],
			[".Lkthread_loop", false],
			["secondary_startup_64", true],
		] as const) {
			const row = entry.hints.row(entry.symbols.get(label)! - BASE)!;
			expect([label, row.raOffset === undefined]).toEqual([label, end]);
		}
	});
});

describe("assemble", () => {
	it("reads numbers as GNU as does", async () => {
		expect(await bytesOf("subq $10, %rsp\nsubq $0x10, %rsp")).toEqual([0x48, 0x83, 0xec, 10, 0x48, 0x83, 0xec, 0x10]);
		expect(await bytesOf(".set N, 80\nmovq N+8(%rsp), %rax")).toEqual([0x48, 0x8b, 0x44, 0x24, 88]);
		expect(await bytesOf(".byte 15, 31, 68, 0, 0")).toEqual([0x0f, 0x1f, 0x44, 0, 0]);
	});

	it("calls externals, and loads from them", async () => {
		const bytes = Uint8Array.from(await bytesOf("call function_trace_op\nmovq function_trace_op(%rip), %rax"));
		const view = new DataView(bytes.buffer);
		expect(BASE + 5 + view.getInt32(1, true)).toBe(FUNCTION_TRACE_OP);
		expect(BASE + 12 + view.getInt32(8, true)).toBe(FUNCTION_TRACE_OP);
	});

	it.each([
		["an unknown instruction", "nop\n\nbogus %rax\nret", "ASM_ERROR", "bad.S:3"],
		["operands that do not go together", "jne x\nnop\nmovq %eax, %rbx\nx: ret", "ASM_ERROR", "bad.S:3"],
		["an undefined symbol", "/* two\nlines */ nop\ncall nowhere", "ASM_UNDEFINED_SYMBOL", "bad.S:3"],
		["a hint that says nothing", "nop\nUNWIND_HINT rbp", "ASM_BAD_HINT", "bad.S:2"],
		["a hint with more than it should have", "UNWIND_HINT rsp+8 signal please", "ASM_BAD_HINT", "bad.S:1"],
		["a hint in a macro", ".macro m\nUNWIND_HINT rsp+8\n.endm", "ASM_BAD_HINT", "bad.S:2"],
		["a hint with an unknown constant", "UNWIND_HINT rsp+FRAME", "ASM_UNSUPPORTED", "bad.S:1"],
		["an immediate with an external", "movq $1, function_trace_op(%rip)", "ASM_UNSUPPORTED", "bad.S:1"],
	])("names the line of %s", async (_what, text, code, where) => {
		const error = await failure(text);
		expect([error.code, error.where]).toEqual([code, where]);
	});
});
