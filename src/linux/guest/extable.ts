import { type CpuState, type Fault, type FaultKind, RAX, RCX, RDX, RSP } from "../../cpu/index.js";
import type { ExceptionEntry } from "../../elf/index.js";
import { isKaddr, toKaddr, toU64 } from "../../memory/index.js";
import type { Kallsyms } from "../lib/index.js";

/** X86_TRAP_* (arch/x86/include/asm/trapnr.h). */
const TRAP: Readonly<Record<FaultKind, number>> = {
	"divide-error": 0,
	breakpoint: 3,
	"invalid-opcode": 6,
	"stack-segment": 12,
	"general-protection": 13,
	"page-fault": 14,
};

/**
 * fixup_exception() of arch/x86/mm/extable.c: a fault at an instruction that `__ex_table` lists goes on at its fixup. False if the
 * instruction is not listed.
 */
export function fixup_exception(kallsyms: Kallsyms, fault: Fault, state: CpuState): boolean {
	if (!isKaddr(state.rip)) return false;
	const ip = toKaddr(state.rip);
	const entry = kallsyms.images.find((image) => image.contains(ip))?.exceptionEntry(ip);
	if (entry === undefined) return false;
	const { words } = state;
	const { clearAx, clearDx, fixup } = entry;
	setRegisters(entry, fault, words);
	if (clearAx) words[RAX] = 0n;
	if (clearDx) words[RDX] = 0n;
	state.rip = toU64(fixup);
	return true;
}

/** What the type asks for. */
function setRegisters({ type, register, imm }: ExceptionEntry, fault: Fault, words: BigUint64Array): void {
	switch (type) {
		case "DEFAULT":
		case "DEFAULT_MCE_SAFE":
		case "UACCESS":
			return;
		case "FAULT":
		case "FAULT_MCE_SAFE":
			words[RAX] = BigInt(TRAP[fault.kind]);
			return;
		case "POP_REG":
			words[RSP] = words[RSP]! + 8n;
			words[register] = BigInt(imm);
			return;
		case "IMM_REG":
			words[register] = BigInt(imm);
			return;
		case "UCOPY_LEN":
			words[RCX] = BigInt(imm) * words[RCX]! + words[register]!;
	}
}
