import { createDisassembler } from "../disasm/index.js";
import type { Machine } from "../machine.js";
import { hex } from "../memory/index.js";

/** The longest instruction (SDM volume 2, 2.3.11). */
const MAX_INSN = 15;

/** A hook for `Cpu.onInstruction` that prints each instruction: task, address, symbol, disassembly. */
export async function tracer(machine: Machine, print: (line: string) => void): Promise<(rip: bigint) => void> {
	const disassembler = await createDisassembler();
	return (rip) => {
		const length = Math.min(MAX_INSN, 4096 - Number(rip & 0xfffn));
		const more = length < MAX_INSN && machine.memory.permissions(rip + BigInt(length)) !== 0 ? MAX_INSN : length;
		const [insn] = disassembler.disassemble(machine.memory.read(rip, more), rip, 1);
		const where = machine.symbolize(Number(BigInt.asIntN(32, rip)));
		const text = insn === undefined ? "(bad)" : insn.text;
		print(`${machine.executor.current.comm.padEnd(12)} ${hex(rip)} <${where}> ${text}`);
	};
}
