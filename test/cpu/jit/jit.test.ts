import { beforeEach, describe, expect, it } from "vitest";
import { FLAG } from "../../../src/cpu/index.js";
import { JitCpu } from "../../../src/cpu/jit/index.js";
import { Memory, PERM, type Region, toU64 } from "../../../src/memory/index.js";

const TEXT = -0x7f000000;
const STACK = -0x7e000000;
const PATCHED = TEXT + 0x1000;
const RIP = 16;
const [RCX, RSP, RSI, RDI] = [1, 4, 6, 7] as const;

let cpu: JitCpu;
let memory: Memory;
let text: Region;

function put(address: number, hex: string): void {
	const bytes = Uint8Array.from(hex.split(" ").map((b) => Number.parseInt(b, 16)));
	memory.write(address, bytes);
	cpu.textChanged(address, bytes.length);
}
function start(address: number): void {
	cpu.state.setKaddr(RIP, address);
	cpu.state.setKaddr(RSP, STACK + 0x800);
}

function setUp(cold: number): void {
	memory = new Memory({ bytes: 1 << 20 });
	cpu = new JitCpu(memory, { heat: { cold } });
	text = memory.map("text", TEXT, 0x1000, PERM.READ | PERM.EXEC);
	memory.map("writable text", PATCHED, 0x1000, PERM.READ | PERM.WRITE | PERM.EXEC);
	memory.map("stack", STACK, 0x1000, PERM.READ | PERM.WRITE);
}

describe.each([0, 1, 2, Number.POSITIVE_INFINITY])("JitCpu that interprets an instruction %s times", (times) => {
	beforeEach(() => setUp(times));

	it.each([
		[0x8000_0000_0000_0000n, { kind: "stack-segment" }],
		[0x8000_0000_0000_0ff0n, { kind: "stack-segment" }],
		[0n, { kind: "page-fault", address: 0n, access: "read" }],
	])("finds no stack page at %s when it has seen none yet", (sp, fault) => {
		// mov eax, 1; mov rbx, [rsp]; int3
		put(TEXT, "b8 01 00 00 00 48 8b 1c 24 cc");
		start(TEXT);
		cpu.state.words[RSP] = sp;
		expect(cpu.run(100)).toMatchObject({ kind: "fault", executed: 1, fault });
	});

	it("stops after exactly the budget, anywhere in a loop", () => {
		// 1: inc eax; dec ecx; jnz 1b
		put(TEXT, "ff c0 ff c9 75 fa cc");
		start(TEXT);
		cpu.state.words[1] = 1000n;
		for (let run = 0; run < 100; run++) expect(cpu.run(7)).toEqual({ kind: "budget", executed: 7 });
		// 700 instructions are 233 rounds and the inc of the next one.
		expect([cpu.state.words[0], cpu.state.words[1]]).toEqual([234n, 767n]);
		expect(cpu.run(Infinity)).toMatchObject({ kind: "fault", executed: 2300, fault: { kind: "breakpoint" } });
	});

	it("counts a repeated string instruction for each element, and stops between two", () => {
		// rep lodsb; int3
		put(TEXT, "f3 ac cc");
		start(TEXT);
		cpu.state.words[RCX] = 1n << 62n;
		cpu.state.setKaddr(RSI, TEXT);
		expect(cpu.run(100)).toEqual({ kind: "budget", executed: 100 });
		expect([cpu.state.words[RCX], cpu.state.rip]).toEqual([(1n << 62n) - 100n, toU64(TEXT)]);
		cpu.state.words[RCX] = 5n;
		expect(cpu.run(100)).toMatchObject({ kind: "fault", executed: 6, fault: { kind: "breakpoint" } });
	});

	it("gives a comparison that stops between its elements the flags of before, and those of the last one at its end", () => {
		// repe cmpsb; int3: bytes that are equal
		put(TEXT, "f3 a6 cc");
		start(TEXT);
		cpu.state.words[RCX] = 3n;
		cpu.state.setKaddr(RSI, TEXT);
		cpu.state.setKaddr(RDI, TEXT);
		const zero = () => (cpu.state.rflags & BigInt(FLAG.ZF)) !== 0n;
		expect([cpu.run(2).kind, zero()]).toEqual(["budget", false]);
		expect([cpu.run(1).kind, zero(), cpu.state.rip]).toEqual(["budget", true, toU64(TEXT)]);
		expect([cpu.run(2).kind, zero(), cpu.state.rip]).toEqual(["fault", true, toU64(TEXT) + 2n]);
	});

	it("runs a call site as its bytes are now: nop, int3, call", () => {
		// call 0x40; ud2 ... 0x40: site; mov eax, 1; ret ... 0x80: mov eax, 2; add rsp, 8; ret
		put(TEXT, "e8 3b 00 00 00 0f 0b");
		put(TEXT + 0x40, "0f 1f 44 00 00 b8 01 00 00 00 c3");
		put(TEXT + 0x80, "b8 02 00 00 00 48 83 c4 08 c3");
		cpu.addCallSite(TEXT + 0x40);
		const result = (): unknown => {
			start(TEXT);
			const stop = cpu.run(100);
			return [stop.kind === "fault" ? stop.fault.kind : stop.kind, stop.executed, Number(cpu.state.words[0]! & 0xffn)];
		};
		expect(result()).toEqual(["invalid-opcode", 4, 1]);
		put(TEXT + 0x40, "cc");
		expect(result()).toEqual(["breakpoint", 1, 1]);
		expect(cpu.state.kaddr(RIP)).toBe(TEXT + 0x40);
		put(TEXT + 0x41, "3b 00 00 00");
		expect(result()).toEqual(["breakpoint", 1, 1]);
		put(TEXT + 0x40, "e8");
		expect(result()).toEqual(["invalid-opcode", 5, 2]);
	});

	it("calls gates, stops if they ask to, and throws their errors with the state complete", () => {
		// mov edi, 7; call 0x40; ud2
		put(TEXT, "bf 07 00 00 00 e8 36 00 00 00 0f 0b");
		put(TEXT + 0x40, "90 c3");
		const seen: number[] = [];
		let answer: () => boolean = () => false;
		const call = (rdi: number): boolean => {
			seen.push(rdi);
			return answer();
		};
		const gate = { name: "g", passes: "args", call } as const;
		cpu.addGate(TEXT + 0x40, gate);
		start(TEXT);
		expect(cpu.run(100)).toMatchObject({ kind: "fault", executed: 4, fault: { kind: "invalid-opcode" } });
		answer = () => true;
		start(TEXT);
		expect(cpu.run(100)).toEqual({ kind: "gate", executed: 3, gate });
		expect(cpu.state.kaddr(RIP)).toBe(TEXT + 0x41);
		answer = () => {
			throw new Error("from the gate");
		};
		start(TEXT);
		expect(() => cpu.run(100)).toThrow("from the gate");
		expect(cpu.state.kaddr(RIP)).toBe(TEXT + 0x41);
		expect(seen).toEqual([7, 7, 7]);
	});

	it("faults at address 0 when a null pointer is called, and returned to", () => {
		// xor eax, eax; call rax
		put(TEXT, "31 c0 ff d0");
		// push 0; ret
		put(TEXT + 0x20, "6a 00 c3");
		for (const address of [TEXT, TEXT + 0x20]) {
			start(address);
			const fault = { kind: "page-fault", address: 0n, access: "fetch" };
			expect(cpu.run(100)).toEqual({ kind: "fault", executed: 2, fault });
			expect(cpu.state.rip).toBe(0n);
		}
	});

	it("stops before a breakpoint, but not when it starts there", () => {
		// 1: inc eax; jmp 1b
		put(TEXT, "ff c0 eb fc");
		start(TEXT);
		cpu.run(100);
		const address = BigInt.asUintN(64, BigInt(TEXT));
		cpu.addBreakpoint(address);
		start(TEXT);
		expect(cpu.run(100)).toEqual({ kind: "breakpoint", executed: 2, address });
		cpu.removeBreakpoint(address);
		expect(cpu.run(100)).toEqual({ kind: "budget", executed: 100 });
	});

	it("sees stores of the guest to its own code", () => {
		// mov byte [rip + 1], 5; mov al, 1; ud2: the store changes the immediate of the next instruction.
		put(PATCHED, "c6 05 01 00 00 00 05 b0 01 0f 0b");
		start(PATCHED);
		expect(cpu.run(100)).toMatchObject({ executed: 2 });
		expect(cpu.state.words[0]).toBe(5n);
	});

	it("faults with the state before the instruction: page crossing, protection, fetch", () => {
		// push rax at the lowest byte of the stack
		put(TEXT, "50");
		start(TEXT);
		cpu.state.setKaddr(RSP, STACK + 4);
		const address = BigInt.asUintN(64, BigInt(STACK - 4));
		expect(cpu.run(1)).toEqual({
			kind: "fault",
			executed: 0,
			fault: { kind: "page-fault", address, access: "write" },
		});
		expect([cpu.state.kaddr(RSP), cpu.state.kaddr(RIP)]).toEqual([STACK + 4, TEXT]);
		memory.protect(text, PERM.READ);
		start(TEXT);
		expect(cpu.run(1)).toMatchObject({ fault: { kind: "page-fault", access: "fetch" } });
	});
});

describe("JitCpu that translates at once", () => {
	beforeEach(() => setUp(0));

	it("translates nothing again for a text poke, and for other changes of text only their code", () => {
		// call 0x40; call 0x80; ud2 ... 0x40: site; ret ... 0x80: mov eax, 1; ret ... 0xc0: ret
		put(TEXT, "e8 3b 00 00 00 e8 76 00 00 00 0f 0b");
		put(TEXT + 0x40, "0f 1f 44 00 00 c3");
		put(TEXT + 0x80, "b8 01 00 00 00 c3");
		put(TEXT + 0xc0, "c3");
		cpu.addCallSite(TEXT + 0x40);
		const run = (): number => {
			start(TEXT);
			expect(cpu.run(100)).toMatchObject({ kind: "fault", fault: { kind: "invalid-opcode" } });
			return cpu.statistics.regions;
		};
		run();
		// The call's target is new, and nothing else.
		const nop = run();
		put(TEXT + 0x40, "e8 7b 00 00 00");
		expect(run()).toBe(nop + 1);
		for (let n = 0; n < 5; n++) {
			put(TEXT + 0x40, "0f 1f 44 00 00");
			run();
			put(TEXT + 0x40, "e8 7b 00 00 00");
			expect(run()).toBe(nop + 1);
		}
		put(TEXT + 0x80, "b8 02 00 00 00 c3");
		expect(run()).toBe(nop + 2);
		expect(Number(cpu.state.words[0])).toBe(2);
	});

	it("shares translated code between machines with the same text", () => {
		const run = (other: JitCpu): unknown => {
			// 1: add eax, ecx; dec ecx; jnz 1b; ud2
			const code = Uint8Array.from([0x01, 0xc8, 0xff, 0xc9, 0x75, 0xfa, 0x0f, 0x0b]);
			other.memory.map("text", TEXT + 0x100000, 0x1000, PERM.READ | PERM.EXEC);
			other.memory.write(TEXT + 0x100000, code);
			other.state.setKaddr(RIP, TEXT + 0x100000);
			other.state.words[1] = 10n;
			other.run(1000);
			return [other.state.words[0], other.statistics.regions, other.statistics.compiled];
		};
		expect(run(new JitCpu(new Memory({ bytes: 1 << 20 }), { heat: { cold: 0 } }))).toEqual([55n, 1, 1]);
		expect(run(new JitCpu(new Memory({ bytes: 1 << 20 }), { heat: { cold: 0 } }))).toEqual([55n, 1, 0]);
	});
});
