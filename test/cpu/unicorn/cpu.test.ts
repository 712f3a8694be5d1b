import { afterEach, describe, expect, test } from "vitest";
import { type CallGate, RAX, RCX, RDI, RSI, RSP } from "../../../src/cpu/index.js";
import { UnicornCpu, type UnicornEngine } from "../../../src/cpu/unicorn/index.js";
import { type Kaddr, Memory, PERM } from "../../../src/memory/index.js";
import { koffiEngine, unicornJsEngine } from "../../../src/node/unicorn/index.js";
import { fakeUnicornJs } from "./fake-unicorn-js.js";

const TEXT: Kaddr = 0x81000000 | 0;
const DATA: Kaddr = 0x82000000 | 0;
const TEXT64 = 0xffffffff81000000n;
const DATA64 = 0xffffffff82000000n;

const LOADERS: [string, () => Promise<UnicornEngine | undefined>][] = [
	["libunicorn through koffi", koffiEngine],
	["the loader of unicorn.js", () => unicornJsEngine(async () => ({ default: fakeUnicornJs }))],
];

describe.each(LOADERS)("UnicornCpu on %s", (_name, load) => {
	let cpu: UnicornCpu;
	let memory: Memory;
	afterEach(() => cpu.close());

	async function start(code: string): Promise<void> {
		memory = new Memory({ bytes: 1 << 20 });
		memory.map("text", TEXT, 0x1000, PERM.READ | PERM.EXEC);
		memory.map("data", DATA, 0x1000, PERM.READ | PERM.WRITE);
		memory.write(TEXT, Uint8Array.from(Buffer.from(code.replaceAll(" ", ""), "hex")));
		const engine = await load();
		if (engine === undefined) throw new Error("apt-get install -y libunicorn2");
		cpu = new UnicornCpu(memory, engine);
		cpu.state.rip = TEXT64;
		cpu.state.words[RSP] = DATA64 + 0x1000n;
	}

	test("budgets are exact, one at a time or all at once", async () => {
		await start("48ffc0 48ffc1 ebf8"); // inc rax; inc rcx; jmp back
		expect(cpu.run(0)).toEqual({ kind: "budget", executed: 0 });
		for (let i = 0; i < 7; i++) expect(cpu.run(1)).toEqual({ kind: "budget", executed: 1 });
		expect([cpu.state.words[RAX], cpu.state.words[RCX], cpu.state.rip]).toEqual([3n, 2n, TEXT64 + 3n]);
		expect(cpu.run(1001)).toEqual({ kind: "budget", executed: 1001 });
		expect([cpu.state.words[RAX], cpu.state.words[RCX], cpu.state.rip]).toEqual([336n, 336n, TEXT64]);
	});

	test("a rep string instruction counts for each element and for its end; a jump to itself each time", async () => {
		await start("f3aa 90 ebfe"); // rep stosb; nop; jmp .
		cpu.state.words[RDI] = DATA64;
		cpu.state.words[RCX] = 100n;
		cpu.state.words[RAX] = 0x5an;
		const seen = new Map<bigint, number>();
		cpu.onInstruction = (rip) => seen.set(rip, (seen.get(rip) ?? 0) + 1);
		expect(cpu.run(40)).toEqual({ kind: "budget", executed: 40 });
		expect([cpu.state.words[RCX], cpu.state.rip]).toEqual([60n, TEXT64]);
		expect(cpu.run(62)).toEqual({ kind: "budget", executed: 62 });
		expect([...seen]).toEqual([
			[TEXT64, 101],
			[TEXT64 + 2n, 1],
		]);
		cpu.onInstruction = undefined;
		expect([cpu.state.words[RCX], memory.u8((DATA + 99) | 0), memory.u8((DATA + 100) | 0)]).toEqual([0n, 0x5a, 0]);
		expect(cpu.run(50)).toEqual({ kind: "budget", executed: 50 });
		expect(cpu.state.rip).toBe(TEXT64 + 3n);
	});

	test("each instruction is told once, with the registers, also at a gate and where a breakpoint stops", async () => {
		await start("48ffc0 48ffc1 ebf8"); // inc rax; inc rcx; jmp back
		const told: [bigint, bigint, bigint][] = [];
		cpu.onInstruction = (rip) => told.push([rip - TEXT64, cpu.state.words[RAX]!, cpu.state.rip - TEXT64]);
		cpu.run(2);
		cpu.run(1);
		cpu.addBreakpoint(TEXT64 + 3n);
		expect(cpu.run(10)).toMatchObject({ kind: "breakpoint", executed: 1 });
		expect(cpu.run(1)).toMatchObject({ kind: "budget", executed: 1 });
		expect(told).toEqual([
			[0n, 0n, 0n],
			[3n, 1n, 3n],
			[6n, 1n, 6n],
			[0n, 1n, 0n],
			[3n, 2n, 3n],
		]);
		cpu.removeBreakpoint(TEXT64 + 3n);
		cpu.close();
		// The hook is gone with the engine.
		cpu.onInstruction = undefined;
	});

	test("breakpoints stop before the instruction, but not where the run starts", async () => {
		await start("90 90 ebfc");
		cpu.addBreakpoint(TEXT64 + 1n);
		expect(cpu.run(Number.POSITIVE_INFINITY)).toEqual({ kind: "breakpoint", executed: 1, address: TEXT64 + 1n });
		expect(cpu.run(10)).toEqual({ kind: "breakpoint", executed: 3, address: TEXT64 + 1n });
		cpu.removeBreakpoint(TEXT64 + 1n);
		expect(cpu.run(10)).toEqual({ kind: "budget", executed: 10 });
		// The budget ends at the very place of a breakpoint: the budget comes first.
		cpu.state.rip = TEXT64;
		cpu.addBreakpoint(TEXT64 + 1n);
		expect(cpu.run(1)).toEqual({ kind: "budget", executed: 1 });
	});

	test("gates see arguments, memory or the state, and may stop or throw", async () => {
		await start("e80b000000 90 ebfe"); // call gate at +16
		memory.write((TEXT + 16) | 0, Uint8Array.of(0x90, 0xc3));
		cpu.textChanged(TEXT, 32);
		cpu.state.words[RDI] = DATA64;
		cpu.state.words[RSI] = 0xffffffffn;
		memory.setU32(DATA, 41);
		const again = (call: CallGate["call"], passes: CallGate["passes"]): void => {
			cpu.removeGate((TEXT + 16) | 0);
			cpu.addGate((TEXT + 16) | 0, { name: "gate", passes, call });
			cpu.state.rip = TEXT64;
			cpu.state.words[RSP] = DATA64 + 0x1000n;
		};
		again((rdi, rsi) => {
			memory.setU32(rdi, memory.u32(rdi) + 1);
			return rsi !== -1;
		}, "args");
		expect(cpu.run(4)).toEqual({ kind: "budget", executed: 4 });
		expect([memory.u32(DATA), cpu.state.rip]).toEqual([42, TEXT64 + 6n]);
		again(() => true, "args");
		expect(cpu.run(100)).toMatchObject({ kind: "gate", executed: 2 });
		expect(cpu.state.rip).toBe(TEXT64 + 17n);
		expect(cpu.run(2)).toEqual({ kind: "budget", executed: 2 });
		again(() => {
			expect(cpu.state.rip).toBe(TEXT64 + 17n);
			cpu.state.words[RAX] = 7n;
			return false;
		}, "state");
		expect(cpu.run(3)).toEqual({ kind: "budget", executed: 3 });
		expect([cpu.state.words[RAX], cpu.state.rip]).toEqual([7n, TEXT64 + 5n]);
		for (const passes of ["args", "state"] as const) {
			again(() => {
				throw new Error("out of the gate");
			}, passes);
			expect(() => cpu.run(100)).toThrow("out of the gate");
			expect(cpu.state.rip).toBe(TEXT64 + 17n);
		}
		const storing = (at: number, call: (rsi: number) => Kaddr): void => {
			again(() => false, "args");
			cpu.removeGate((TEXT + 16) | 0);
			cpu.addGate((TEXT + 16) | 0, { name: "gate", passes: "store", takes: RSI, at, make: () => call });
			cpu.state.words[RCX] = DATA64;
		};
		storing(16, (rsi) => (TEXT + 1 + rsi) | 0);
		expect(cpu.run(4)).toEqual({ kind: "budget", executed: 4 });
		expect(memory.u64((DATA + 16) | 0)).toBe(TEXT64);
		storing(16, () => 0);
		expect(cpu.run(4)).toEqual({ kind: "budget", executed: 4 });
		expect(memory.u64((DATA + 16) | 0)).toBe(TEXT64);
		storing(-0x10000000, () => TEXT);
		expect(() => cpu.run(4)).toThrow("nothing is mapped");
		expect(cpu.state.rip).toBe(TEXT64 + 17n);
		// Not reached: the budget ends before the gate's nop.
		again(() => {
			throw new Error("too far");
		}, "args");
		expect(cpu.run(1)).toEqual({ kind: "budget", executed: 1 });
	});

	test.each([
		[
			"read of nothing",
			"90 48 8b 07",
			{ [RDI]: 0x1000n },
			1,
			1n,
			{ kind: "page-fault", address: 0x1000n, access: "read" },
		],
		[
			"write to text",
			"90 48 89 07",
			{ [RDI]: TEXT64 },
			1,
			1n,
			{ kind: "page-fault", address: TEXT64, access: "write" },
		],
		[
			"push on a guard page",
			"90 50",
			{ [RSP]: DATA64 },
			1,
			1n,
			{ kind: "page-fault", address: DATA64 - 8n, access: "write" },
		],
		[
			"jump to data",
			"90 ff e0",
			{ [RAX]: DATA64 },
			2,
			0x1000000n,
			{ kind: "page-fault", address: DATA64, access: "fetch" },
		],
		["division by 0", "90 48 f7 f1", { [RCX]: 0n }, 1, 1n, { kind: "divide-error" }],
		["int3", "90 cc", {}, 1, 1n, { kind: "breakpoint" }],
		["ud2", "90 0f 0b", {}, 1, 1n, { kind: "invalid-opcode" }],
	])("fault: %s", async (_what, code, registers, executed, offset, fault) => {
		await start(code);
		for (const [register, value] of Object.entries(registers)) cpu.state.words[Number(register)] = value;
		const before = [...cpu.state.words.subarray(0, 16)];
		const stop = cpu.run(100);
		expect(stop).toMatchObject({ kind: "fault", executed, fault });
		expect(cpu.state.rip).toBe(TEXT64 + offset);
		expect([...cpu.state.words.subarray(0, 16)]).toEqual(before);
	});

	test("code that runs off its page faults at the page, after all that was on it", async () => {
		await start("90".repeat(4096));
		expect(cpu.run(Number.POSITIVE_INFINITY)).toEqual({
			kind: "fault",
			executed: 4096,
			fault: { kind: "page-fault", address: TEXT64 + 0x1000n, access: "fetch" },
		});
		expect(cpu.state.rip).toBe(TEXT64 + 0x1000n);
		memory.setU8((TEXT + 4095) | 0, 0xe8); // the first byte of a call
		cpu.textChanged((TEXT + 4095) | 0, 1);
		cpu.state.rip = TEXT64;
		expect(cpu.run(Number.POSITIVE_INFINITY)).toMatchObject({ kind: "fault", executed: 4095 });
		expect(cpu.state.rip).toBe(TEXT64 + 4095n);
	});

	test.each([
		[0xffff_ffff_ffff_ffffn, 2, { kind: "page-fault", address: 0xffff_ffff_ffff_ffffn, access: "fetch" }],
		[1n << 63n, 1, { kind: "general-protection" }],
	])("a jump to %x", async (target, executed, fault) => {
		await start("90 ff e0");
		cpu.state.words[RAX] = target;
		expect(cpu.run(Number.POSITIVE_INFINITY)).toEqual({ kind: "fault", executed, fault });
		expect(cpu.state.rip).toBe(executed === 2 ? target : TEXT64 + 1n);
	});

	test("text and mappings that change are seen", async () => {
		await start("48ffc0 eb00 eb00");
		expect(cpu.run(3).kind).toBe("budget");
		memory.write(TEXT, Uint8Array.of(0x48, 0xff, 0xc1));
		cpu.textChanged(TEXT, 3);
		cpu.state.rip = TEXT64;
		cpu.run(3);
		expect([cpu.state.words[RAX], cpu.state.words[RCX]]).toEqual([1n, 1n]);
		const region = memory.map("more", DATA + 0x10000, 0x1000, PERM.READ | PERM.EXEC);
		memory.write(DATA + 0x10000, Uint8Array.of(0x90, 0x90));
		cpu.state.rip = DATA64 + 0x10000n;
		expect(cpu.run(2)).toEqual({ kind: "budget", executed: 2 });
		memory.unmap(region);
		cpu.state.rip = DATA64 + 0x10000n;
		expect(cpu.run(2)).toMatchObject({ kind: "fault", executed: 0, fault: { access: "fetch" } });
	});
});
