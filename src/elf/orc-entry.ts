import type { UnwindRow } from "./types.js";

/** struct orc_entry (arch/x86/include/asm/orc_types.h). */
export interface OrcEntry {
	readonly spOffset: number;
	readonly bpOffset: number;
	/** sp_reg: 4 bits, bp_reg: 4, type: 3, signal: 1; 4 are unused. */
	readonly bits: number;
}

const ORC_TYPE = { UNDEFINED: 0, END_OF_STACK: 1, CALL: 2, REGS: 3, REGS_PARTIAL: 4 } as const;
const ORC_REG = {
	UNDEFINED: 0,
	PREV_SP: 1,
	DX: 2,
	DI: 3,
	BP: 4,
	SP: 5,
	R10: 6,
	R13: 7,
	BP_INDIRECT: 8,
	SP_INDIRECT: 9,
};

const RSP = 4;
const RBP = 5;
/** Registers of the hardware that an entry can name as the base of the caller's sp. */
const BASES: ReadonlyMap<number, number> = new Map([
	[ORC_REG.SP, RSP],
	[ORC_REG.SP_INDIRECT, RSP],
	[ORC_REG.BP, RBP],
	[ORC_REG.BP_INDIRECT, RBP],
	[ORC_REG.R10, 10],
	[ORC_REG.R13, 13],
	[ORC_REG.DI, 7],
	[ORC_REG.DX, 2],
]);

/** struct pt_regs (arch/x86/include/asm/ptrace.h): registers by their place in it, then the frame of iret, which REGS_PARTIAL has alone. */
const PT_REGS: readonly number[] = [15, 14, 13, 12, RBP, 3, 11, 10, 9, 8, 0, 1, 2, 6, 7];
const PT_REGS_SIZE = 168;
const IRET_SIZE = 40;
/** Offsets from the end of both. */
const IRET = { ip: -40, cs: -32, sp: -16 } as const;
const ALL_REGISTERS = 0xffff;

/**
 * The row for an ORC entry, as unwind_next_frame() (arch/x86/kernel/unwind_orc.c) reads it. Undefined: the stack cannot be walked from
 * there. A text: why the entry is not valid.
 */
export function orcRow(entry: OrcEntry): UnwindRow | undefined | string {
	const { bits } = entry;
	const type = (bits >> 8) & 7;
	if (bits >> 12 !== 0) return `bits 12 to 15 of the entry are 0x${(bits >> 12).toString(16)}, not 0`;
	switch (type) {
		case ORC_TYPE.UNDEFINED:
			return undefined;
		case ORC_TYPE.END_OF_STACK:
			return { cfaRegister: RSP, cfaOffset: 0, raOffset: undefined, signal: false, saved: [] };
		case ORC_TYPE.CALL:
		case ORC_TYPE.REGS:
		case ORC_TYPE.REGS_PARTIAL:
			return frameRow(entry, type);
		default:
			return `the type ${type} is not known`;
	}
}

function frameRow({ spOffset, bpOffset, bits }: OrcEntry, type: number): UnwindRow | string {
	const spRegister = bits & 0xf;
	const bpRegister = (bits >> 4) & 0xf;
	const cfaRegister = BASES.get(spRegister);
	if (cfaRegister === undefined) return `the register ${spRegister} is no base of the caller's sp`;
	const called = type === ORC_TYPE.CALL;
	const full = type === ORC_TYPE.REGS;
	// The CFA of saved registers is their end: everything of a frame lies below its CFA.
	const size = called ? 0 : full ? PT_REGS_SIZE : IRET_SIZE;
	const saved = full ? PT_REGS.map((register, index) => ({ register, offset: 8 * index - size })) : [];
	if (!called) saved.push({ register: RSP, offset: IRET.sp });
	const bp = bpOf(bpRegister, bpOffset, size);
	if (bp === undefined) return `the register ${bpRegister} is no base of the caller's bp`;
	return {
		cfaRegister,
		...cfaOf(spRegister, spOffset, size),
		raOffset: called ? -8 : IRET.ip,
		...(called ? {} : { csOffset: IRET.cs }),
		signal: (bits & 0x800) !== 0,
		saved: bp === "kept" ? saved : [...saved.filter(({ register }) => register !== RBP), bp],
		preserves: called ? (1 << RSP) | (1 << RBP) : ALL_REGISTERS,
	};
}

function cfaOf(register: number, offset: number, size: number): Pick<UnwindRow, "cfaOffset" | "cfaLoad"> {
	if (register === ORC_REG.SP_INDIRECT) return { cfaOffset: 0, cfaLoad: offset + size };
	if (register === ORC_REG.BP_INDIRECT) return { cfaOffset: offset, cfaLoad: size };
	return { cfaOffset: offset + size };
}

function bpOf(register: number, offset: number, size: number): UnwindRow["saved"][number] | "kept" | undefined {
	if (register === ORC_REG.UNDEFINED) return "kept";
	if (register === ORC_REG.PREV_SP) return { register: RBP, offset: offset - size };
	return register === ORC_REG.BP ? { register: RBP, offset, base: RBP } : undefined;
}
