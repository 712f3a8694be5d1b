/** Cpus share compiled modules by a key, which must name all that a module depends on. */
import { expect, test } from "vitest";
import { assemble } from "../../../src/assemble/index.js";
import { type Gate, RAX, RBX, RCX, RDI, RDX, RIP, RSI, RSP } from "../../../src/cpu/index.js";
import { CompiledModules, JitCpu } from "../../../src/cpu/jit/index.js";
import { type Kaddr, Memory, PERM, toU64 } from "../../../src/memory/index.js";
import { loadKeystone } from "../../../src/node/index.js";

const keystone = await loadKeystone();
const CODE: Kaddr = -0x7f000000;
const DATA: Kaddr = -0x7e000000;
const GATE = 0x40;
const OTHER_GATE = 0x60;
const JUMP_TO_ITSELF = [0xeb, 0xfe];
const [F, G] = [0x80, 0xc0];

const SOURCE = `
start:	.byte 0x0f, 0x1f, 0x44, 0, 0
	call gate
	addq 16(%rcx), %rax
	incq %rbx
	jmp start
	.balign 64
gate:	nop
	ret
	.balign 32
other:	nop
	ret
	.balign 64
	addq $1, %rdx
	ret
	.balign 64
	addq $100, %rdx
	ret`;

interface Case {
	readonly memoryBytes?: number;
	readonly code?: Kaddr;
	readonly warm?: number;
	readonly site?: boolean;
	readonly patch?: readonly [offset: number, bytes: readonly number[]];
	readonly prepare?: (cpu: JitCpu) => void;
	readonly gate?: (cpu: JitCpu, seen: unknown[]) => Gate;
}

const args = (_cpu: JitCpu, seen: unknown[]): Gate => ({
	name: "args",
	passes: "args",
	call: (rdi) => {
		seen.push(rdi);
		return false;
	},
});
const state = (cpu: JitCpu, seen: unknown[]): Gate => ({
	name: "state",
	passes: "state",
	call: () => {
		seen.push(cpu.state.rip);
		return false;
	},
});
const store = (takes: typeof RDI | typeof RSI, at: number) => (): Gate => ({
	name: "store",
	passes: "store",
	takes,
	at,
	make: () => (argument) => (DATA + argument) | 0,
});
/** `call` from an offset in the code to another one. */
const call = (from: number, to: number): number[] => [0xe8, ...new Uint8Array(Int32Array.of(to - from - 5).buffer)];

/** Runs the program in slices; all that a program and a host can see of it, and how many modules were compiled. */
function run(modules: CompiledModules, given: Case): { seen: unknown; compiled: number } {
	const { code = CODE, warm = Number.POSITIVE_INFINITY, memoryBytes = 1 << 20, gate = args } = given;
	const { bytes } = assemble(keystone, SOURCE, "compiler.test.S", code, {});
	const cpu = new JitCpu(new Memory({ bytes: memoryBytes }), { modules, heat: { cold: 0, warm, recording: 100 } });
	const { memory } = cpu;
	memory.map("code", CODE, 0x2000, PERM.READ | PERM.EXEC);
	memory.map("data", DATA, 0x1000, PERM.READ | PERM.WRITE);
	memory.write(code, bytes);
	if (given.patch !== undefined) memory.write(code + given.patch[0], Uint8Array.from(given.patch[1]));
	const seen: unknown[] = [];
	given.prepare?.(cpu);
	cpu.addGate(code + GATE, gate(cpu, seen));
	if (given.site !== false) cpu.addCallSite(code);
	cpu.state.setKaddr(RIP, code);
	cpu.state.setKaddr(RCX, DATA);
	cpu.state.setKaddr(RSP, DATA + 0x1000);
	for (const register of [RAX, RBX, RDX, RDI, RSI]) cpu.state.words[register] = BigInt(register);
	for (let slice = 0; slice < 20; slice++) {
		const { kind, executed } = cpu.run(101);
		seen.push(kind, executed, ...cpu.state.words, memory.read(DATA, 0x1000).join());
	}
	const { compiled } = cpu.statistics;
	cpu.close();
	return { seen, compiled };
}

/** A machine, another one, and how many modules the second cannot have from the first. */
const CASES: readonly (readonly [string, Case, Case, number])[] = [
	["bytes of an instruction", {}, { patch: [5 + 5 + 4, [0x48, 0xff, 0xcb]] }, 1],
	["the address", {}, { code: CODE + 0x1000 }, 3],
	["the size of the memory", {}, { memoryBytes: 2 << 20 }, 4],
	[
		"a breakpoint",
		{ patch: [0, JUMP_TO_ITSELF], site: false },
		{ patch: [0, JUMP_TO_ITSELF], site: false, prepare: (cpu) => cpu.addBreakpoint(toU64(CODE)) },
		1,
	],
	["the root of a hot loop", {}, { warm: 150 }, 3],
	["a gate of another kind", {}, { gate: state }, 1],
	["another gate before it", {}, { prepare: (cpu) => cpu.addGate(CODE + OTHER_GATE, store(RSI, 0)()) }, 1],
	[
		"another cell of the call site",
		{ patch: [0, call(0, F)] },
		{
			patch: [0, call(0, F)],
			prepare: (cpu) => {
				cpu.memory.write(CODE + 0x1000, Uint8Array.from(call(0x1000, G)));
				cpu.addCallSite(CODE + 0x1000);
			},
		},
		2,
	],
	["no call site", {}, { site: false }, 2],
	["the register that a store gate takes", { warm: 150, gate: store(RDI, 16) }, { warm: 150, gate: store(RSI, 16) }, 2],
	["where a store gate stores", { warm: 150, gate: store(RDI, 16) }, { warm: 150, gate: store(RDI, 24) }, 2],
];

test.each(CASES)("a machine that differs in %s runs code of its own", (_, one, other, own) => {
	const alone = run(new CompiledModules(100), other);
	const modules = new CompiledModules(100);
	run(modules, one);
	const shared = run(modules, other);
	expect(shared.seen).toEqual(alone.seen);
	expect(shared.compiled).toBe(own);
	expect(run(modules, other).compiled).toBe(0);
});
