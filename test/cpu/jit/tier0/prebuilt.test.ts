import { expect, test } from "vitest";
import { RAX, RIP } from "../../../../src/cpu/index.js";
import { CompiledModules, JitCpu } from "../../../../src/cpu/jit/index.js";
import { FormLibrary } from "../../../../src/cpu/jit/tier0/index.js";
import { decodeBytes, type Instruction, OPCODES } from "../../../../src/cpu/x86/index.js";
import { Memory, PERM } from "../../../../src/memory/index.js";

const TEXT = -0x7f000000;

function plain(text: string) {
	const instruction = decodeBytes(Uint8Array.from(Buffer.from(text, "hex"))) as Instruction;
	return { kind: "plain", address: 0n, low: undefined, length: instruction.length, instruction } as const;
}

/** Forms that are built, and forms that are not. */
const BUILT = ["53", "4801ca", "c3", "d3e0", "f0480fba2b00"].map(plain);
const OTHERS = ["0fa2", "f3a4", "0fc8"].map(plain);

test("a built library has the numbers of its forms, and gives further ones to others", () => {
	const bytes = FormLibrary.build();
	const [first, second] = [new FormLibrary(bytes), new FormLibrary(bytes)];
	const { size } = first;
	expect(size).toBeGreaterThan(100);
	for (const entry of BUILT) expect(first.number(entry)).toBeLessThan(size);
	expect(first.exit).toBeLessThan(size);
	expect(first.size).toBe(size);
	expect(OTHERS.map((entry) => first.number(entry))).toEqual([size, size + 1, size + 2]);
	// Each form has a number of its own, whatever was met before.
	expect(BUILT.map((entry) => second.number(entry))).toEqual(BUILT.map((entry) => first.number(entry)));
	expect(new Set(BUILT.map((entry) => first.number(entry))).size).toBe(BUILT.length);
});

test("what is built is made again from it alike", () => {
	const bytes = FormLibrary.build();
	expect(FormLibrary.build()).toEqual(bytes);
	// With too many modules a new Cpu gets one with all forms, and those of the built one are made, too.
	const library = new FormLibrary(bytes);
	const { size } = library;
	const rows = OPCODES.filter(({ pattern, operands }) => operands === "" && /^[0-9a-f]{2}$/.test(pattern));
	for (const { pattern } of rows.slice(0, 12)) {
		library.number(plain(pattern));
		library.batches(false);
	}
	expect(library.batches(false).length).toBeGreaterThan(4);
	const [batch, ...more] = library.batches(true);
	expect(more).toEqual([]);
	expect(batch!.count).toBe(library.size);
	expect(batch!.count).toBeGreaterThan(size);
});

test("a Cpu with built forms runs as one without", () => {
	// mov eax, 7; push rax; shl eax, cl; bswap eax; pop rbx; add rax, rbx; ud2
	const code = "b807000000" + "50" + "d3e0" + "0fc8" + "5b" + "4801d8" + "0f0b";
	const results = [undefined, FormLibrary.build()].map((built) => {
		const memory = new Memory({ bytes: 4 << 20 });
		memory.map("text", TEXT, 0x1000, PERM.READ | PERM.EXEC);
		memory.map("stack", TEXT + 0x1000, 0x1000, PERM.READ | PERM.WRITE);
		memory.write(TEXT, Uint8Array.from(Buffer.from(code, "hex")));
		const modules = new CompiledModules(4);
		if (built !== undefined) Object.defineProperty(modules, "forms", { value: new FormLibrary(built) });
		const cpu = new JitCpu(memory, { modules });
		cpu.state.setKaddr(RIP, TEXT);
		cpu.state.setKaddr(4, TEXT + 0x2000);
		cpu.state.words[1] = 3n;
		const stop = cpu.run(100);
		const words = [...cpu.state.words];
		cpu.close();
		return { stop, words };
	});
	expect(results[0]!.stop).toMatchObject({ kind: "fault", executed: 6 });
	expect(results[0]!.words[RAX]).toBe(0x38000007n);
	expect(results[1]).toEqual(results[0]);
});
