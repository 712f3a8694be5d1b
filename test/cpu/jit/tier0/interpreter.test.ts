import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { beforeEach, describe, expect, test } from "vitest";
import { RAX, RCX, RIP } from "../../../../src/cpu/index.js";
import { CompiledModules, JitCpu } from "../../../../src/cpu/jit/index.js";
import { Memory, PERM } from "../../../../src/memory/index.js";

const TEXT = -0x7f000000;
const INC_RAX = [0x48, 0xff, 0xc0];
const DEC_RCX = [0x48, 0xff, 0xc9];
const UD2 = [0x0f, 0x0b];

let modules: CompiledModules;
let memory: Memory;
beforeEach(() => {
	modules = new CompiledModules(10);
	memory = new Memory({ bytes: 4 << 20 });
	memory.map("text", TEXT, 0x100000, PERM.READ | PERM.EXEC);
});

function run(cpu: JitCpu, code: readonly number[], rcx = 0): bigint {
	memory.write(TEXT, Uint8Array.from([...code, ...UD2]));
	cpu.textChanged(TEXT, code.length + UD2.length);
	cpu.state.setKaddr(RIP, TEXT);
	cpu.state.words[RAX] = 0n;
	cpu.state.words[RCX] = BigInt(rcx);
	expect(cpu.run(Number.POSITIVE_INFINITY)).toMatchObject({ kind: "fault", fault: { kind: "invalid-opcode" } });
	return cpu.state.words[RAX]!;
}

/** As in jit.ts: a Cpu begins anew after so many instances. */
const MAX_INSTANCES = 512;

/** mov eax, VALUE */
const put = (value: number): number[] => [0xb8, ...new Uint8Array(Int32Array.of(value).buffer)];
/** Counts rcx down, and rax up from VALUE. */
const loop = (value: number): number[] => [...put(value), ...INC_RAX, ...DEC_RCX, 0x75, 0xf8];

describe("code that runs once", () => {
	test("is not compiled, but for the forms of its instructions, which other programs have too", () => {
		const cpu = new JitCpu(memory, { modules });
		expect(run(cpu, loop(5), 100)).toBe(105n);
		const { size } = modules.forms;
		const { compiled } = cpu.statistics;
		for (let n = 0; n < 1000; n++) expect(run(cpu, loop(n), 3)).toBe(BigInt(n + 3));
		expect(modules.forms.size).toBe(size);
		expect(cpu.statistics).toEqual({ regions: 0, hot: 0, compiled });
	});

	test("is compiled when it has run often enough, and not before", () => {
		const cpu = new JitCpu(memory, { modules, heat: { cold: 50 } });
		run(cpu, loop(0), 49);
		expect(cpu.statistics.regions).toBe(0);
		run(cpu, loop(1), 51);
		expect(cpu.statistics.regions).toBe(1);
	});

	test("may be longer than there is room for at a time", () => {
		const cpu = new JitCpu(memory, { modules });
		// Each block is jumped over to from the one before, so that all of them are there together.
		const blocks = Array.from({ length: 2000 }, () => [
			...INC_RAX,
			...INC_RAX,
			...INC_RAX,
			...INC_RAX,
			0xeb,
			0x01,
			0xcc,
		]);
		expect(run(cpu, [...blocks.flat(), ...loop(0).slice(5)], 5)).toBe(8005n);
		expect(run(cpu, [...blocks.flat(), ...loop(0).slice(5)], 6)).toBe(8006n);
		expect(cpu.statistics.regions).toBe(0);
	});
});

test("forms are compiled once for all Cpus, however many batches the first has met them in", () => {
	const cpu = new JitCpu(memory, { modules });
	const instructions = [INC_RAX, DEC_RCX, [0x90], put(1), [0x48, 0x01, 0xc8], [0x48, 0x29, 0xc8], [0xf7, 0xd8], [0x99]];
	for (const code of instructions) run(cpu, code);
	expect(modules.forms.batches(false).length).toBeGreaterThan(4);
	const other = new JitCpu(memory, { modules });
	expect(run(other, loop(7), 3)).toBe(10n);
	expect(modules.forms.batches(false).length).toBe(1);
	expect(run(cpu, loop(8), 3)).toBe(11n);
});

/** Adds VALUE to rax as often as rcx says. */
const addUp = (value: number): number[] => [0x48, 0x05, ...put(value).slice(1), ...DEC_RCX, 0x75, 0xf5];

test("a Cpu gives up the modules of programs that are gone", async () => {
	setFlagsFromString("--expose-gc");
	const collect = runInNewContext("gc") as () => void;
	const compiled: WeakRef<WebAssembly.Module>[] = [];
	const add = modules.add.bind(modules);
	modules.add = (key, module) => {
		compiled.push(new WeakRef(module));
		add(key, module);
	};
	const cpu = new JitCpu(memory, { modules, heat: { cold: 2 } });
	const programs = MAX_INSTANCES + 50;
	for (let n = 0; n < programs; n++) expect(run(cpu, addUp(n), 5)).toBe(BigInt(5 * n));
	expect(cpu.statistics.regions).toBe(programs);
	await new Promise((resolve) => setImmediate(resolve));
	collect();
	expect(compiled.length).toBeGreaterThan(programs);
	expect(compiled.filter((module) => module.deref() !== undefined).length).toBeLessThan(100);
	for (const n of [0, programs - 1]) expect(run(cpu, addUp(n), 500)).toBe(BigInt(500 * n));
});
