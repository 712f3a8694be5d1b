import { expect, test } from "vitest";
import { RBX, RCX, RDI, RIP, RSP } from "../../../src/cpu/index.js";
import { JitCpu } from "../../../src/cpu/jit/index.js";
import { Memory, PERM } from "../../../src/memory/index.js";

const TEXT = -0x7f000000;
const DATA = -0x7e000000;

/** Calls a store gate that does something which only other gates may do. */
function run(forbidden: (cpu: JitCpu) => void): void {
	const cpu = new JitCpu(new Memory({ bytes: 1 << 20 }));
	cpu.memory.map("text", TEXT, 0x1000, PERM.READ | PERM.EXEC);
	cpu.memory.map("data", DATA, 0x1000, PERM.READ | PERM.WRITE);
	// call 0x40; jmp 0
	cpu.memory.write(TEXT, Uint8Array.from([0xe8, 0x3b, 0, 0, 0, 0xeb, 0xf9]));
	cpu.memory.write(TEXT + 0x40, Uint8Array.from([0x90, 0xc3]));
	let calls = 0;
	const make = () => () => {
		if (++calls === 3) forbidden(cpu);
		return DATA;
	};
	cpu.addGate(TEXT + 0x40, { name: "g", passes: "store", takes: RDI, at: 0, make });
	cpu.state.setKaddr(RIP, TEXT);
	cpu.state.setKaddr(RCX, DATA);
	cpu.state.setKaddr(RSP, DATA + 0x1000);
	cpu.run(100);
}

test.each<[string, (cpu: JitCpu) => void]>([
	["says that text has changed", (cpu) => cpu.textChanged(TEXT, 1)],
	["unmaps a region", ({ memory }) => memory.unmap(memory.regions[1]!)],
	["protects a region", ({ memory }) => memory.protect(memory.regions[1]!, PERM.READ)],
])("the first tier refuses a store gate that %s", (_, forbidden) => {
	expect(() => run(forbidden)).toThrow("store gate 'g' has changed text or what is mapped");
});

test("a store gate that keeps to its contract is not refused", () => {
	expect(() => run(() => {})).not.toThrow();
});

test.each([0, 1_000_000])(
	"code whose gate runs the Cpu goes on behind the gate (interpreted %i times first)",
	(cold) => {
		const cpu = new JitCpu(new Memory({ bytes: 1 << 20 }), { heat: { cold } });
		cpu.memory.map("text", TEXT, 0x1000, PERM.READ | PERM.EXEC);
		cpu.memory.map("data", DATA, 0x1000, PERM.READ | PERM.WRITE);
		// 0: call 0x40 (a gate); mov ebx, 7; call 0x60 (a gate that stops). 0x30: call 0x60.
		cpu.memory.write(TEXT, Uint8Array.from([0xe8, 0x3b, 0, 0, 0, 0xbb, 7, 0, 0, 0, 0xe8, 0x51, 0, 0, 0]));
		cpu.memory.write(TEXT + 0x30, Uint8Array.from([0xe8, 0x2b, 0, 0, 0]));
		for (const gate of [0x40, 0x60]) cpu.memory.write(TEXT + gate, Uint8Array.from([0x90, 0xc3]));
		const inner = (): boolean => {
			const words = cpu.state.words.slice();
			cpu.state.setKaddr(RIP, TEXT + 0x30);
			expect(cpu.run(10)).toMatchObject({ kind: "gate", gate: { name: "stops" } });
			cpu.state.words.set(words);
			return false;
		};
		cpu.addGate(TEXT + 0x40, { name: "nested", passes: "state", call: inner });
		cpu.addGate(TEXT + 0x60, { name: "stops", passes: "state", call: () => true });
		cpu.state.setKaddr(RIP, TEXT);
		cpu.state.setKaddr(RSP, DATA + 0x1000);
		expect(cpu.run(10)).toMatchObject({ kind: "gate", gate: { name: "stops" } });
		expect(cpu.state.words[RBX]).toBe(7n);
	},
);
