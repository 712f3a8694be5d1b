import { KlpemuError } from "../base/index.js";
import type { TableEntry, Tables } from "./tables.js";
import type { ExceptionEntry } from "./types.js";

/** struct exception_table_entry (arch/x86/include/asm/extable.h). */
const ENTRY = { insn: 0, fixup: 4, data: 8, size: 12 } as const;

/** Types by number (arch/x86/include/asm/extable_fixup_types.h). */
const SUPPORTED: ReadonlyMap<number, ExceptionEntry["type"]> = new Map([
	[1, "DEFAULT"],
	[2, "FAULT"],
	[3, "UACCESS"],
	[14, "DEFAULT_MCE_SAFE"],
	[15, "FAULT_MCE_SAFE"],
	[16, "POP_REG"],
	[17, "IMM_REG"],
	[19, "UCOPY_LEN"],
]);
/** Of instructions that need more than a supervisor and memory, or whose handler reads the instruction. */
const REFUSED: ReadonlyMap<number, string> = new Map([
	[5, "CLEAR_FS"],
	[6, "FPU_RESTORE"],
	[7, "BPF"],
	[8, "WRMSR"],
	[9, "RDMSR"],
	[10, "WRMSR_SAFE"],
	[11, "RDMSR_SAFE"],
	[12, "WRMSR_IN_MCE"],
	[13, "RDMSR_IN_MCE"],
	[18, "FAULT_SGX"],
	[20, "ZEROPAD"],
	[21, "ERETU"],
]);
/** Registers that an entry can name by number are those of the processor; 8 to 11 can be segment registers, which have no type here. */
const FLAG_CLEAR_AX = 0x1000;
const FLAG_CLEAR_DX = 0x2000;

/**
 * `__ex_table` of an image, by the address of the instruction that may fault. Throws `ELF_BAD_TABLE`, and `ELF_SPECIAL_SECTION` for the
 * types that are not supported.
 */
export function readExceptionTable(tables: Tables): Map<number, ExceptionEntry> {
	const out = new Map<number, ExceptionEntry>();
	for (const entry of tables.entries("__ex_table", ENTRY.size)) {
		const insn = entry.text(ENTRY.insn, 1);
		const fixup = entry.text(ENTRY.fixup, 1);
		const data = tables.memory.i32((entry.address + ENTRY.data) | 0);
		out.set(insn, {
			...{ insn, fixup, type: typeOf(entry, data & 0xff) },
			...{ register: (data >> 8) & 0xf, imm: data >> 16 },
			...{ clearAx: (data & FLAG_CLEAR_AX) !== 0, clearDx: (data & FLAG_CLEAR_DX) !== 0 },
		});
	}
	return out;
}

function typeOf(entry: TableEntry, number: number): ExceptionEntry["type"] {
	const type = SUPPORTED.get(number);
	if (type !== undefined) return type;
	const name = REFUSED.get(number);
	if (name === undefined) return entry.fail(`the type ${number} is not known`);
	throw new KlpemuError(
		"ELF_SPECIAL_SECTION",
		`section '${entry.section.name}' offset 0x${entry.offset.toString(16)} (a fixup of the type EX_TYPE_${name}) is not supported`,
		{ where: entry.object.fileName, hint: "leave the instruction out: it belongs to a processor's other parts" },
	);
}
