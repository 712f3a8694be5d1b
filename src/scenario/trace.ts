import type { EmscriptenLoader } from "../base/index.js";
import { Disassembler } from "../disasm/index.js";
import type { Machine } from "../machine/index.js";
import { hex } from "../memory/index.js";

/** The longest instruction (SDM volume 2, 2.3.11). */
const MAX_INSN = 15;

/** An observer of instructions that prints each instruction: task, address, symbol, disassembly. */
export async function tracer(
	machine: Machine,
	capstone: EmscriptenLoader,
	print: (line: string) => void,
): Promise<(rip: bigint) => void> {
	const disassembler = await Disassembler.create(capstone);
	return (rip) => {
		const length = Math.min(MAX_INSN, 4096 - Number(rip & 0xfffn));
		const more = length < MAX_INSN && machine.memory.permissions(rip + BigInt(length)) !== 0 ? MAX_INSN : length;
		const { text } = disassembler.one(machine.memory.read(rip, more), rip);
		const where = machine.symbolize(Number(BigInt.asIntN(32, rip)));
		print(`${machine.sched.current.comm.padEnd(12)} ${hex(rip)} <${where}> ${text}`);
	};
}
