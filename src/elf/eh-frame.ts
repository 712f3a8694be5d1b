import type { Kaddr } from "../memory/index.js";
import { CfaProgram, type CfaState, RETURN_ADDRESS } from "./cfa.js";
import { DwarfReader } from "./dwarf.js";
import type { UnwindRow } from "./types.js";

/** A loaded `.eh_frame`, relocated. */
export interface EhFrameSection {
	readonly object: string;
	readonly address: Kaddr;
	readonly data: Uint8Array;
}

interface Cie {
	readonly codeAlign: number;
	readonly dataAlign: number;
	readonly pointerEncoding: number;
	/** Augmentation "S": the frame of an interrupt, whose return address is not behind a call. */
	readonly signal: boolean;
	readonly augmented: boolean;
	readonly initial: Uint8Array;
}

interface Fde {
	readonly start: Kaddr;
	readonly size: number;
	readonly cie: Cie;
	readonly program: Uint8Array;
	readonly reader: DwarfReader;
	/** Rows by offset from `start`, ascending; computed at the first use. */
	rows: { offset: number; row: UnwindRow | undefined }[] | undefined;
}

/** DWARF's register numbers (psABI figure 3.36) to the hardware's. */
const HARDWARE: readonly number[] = [0, 2, 1, 3, 6, 7, 5, 4, 8, 9, 10, 11, 12, 13, 14, 15];

/** Bytes of instructions in a CIE; gcc's have 5 to 20. */
const MAX_INITIAL = 256;

const EH_FRAME = {
	name: ".eh_frame",
	code: "ELF_BAD_EH_FRAME",
	hint: "compile with -fasynchronous-unwind-tables, with gcc or clang",
};

const DW_EH_PE = { absptr: 0x00, udata4: 0x03, udata8: 0x04, sdata4: 0x0b, sdata8: 0x0c, pcrel: 0x10, omit: 0xff };

/**
 * The frame descriptions of an image (LSB core, "Exception Frames"; DWARF 5, section 6.4).
 * Throws `ELF_BAD_EH_FRAME` with the object and the offset.
 */
export class UnwindTable {
	readonly #fdes: Fde[] = [];

	constructor(sections: readonly EhFrameSection[]) {
		for (const section of sections) this.#parse(section);
		this.#fdes.sort((a, b) => a.start - b.start);
		// Damaged contents must give an error when the object is loaded, not in the middle of a run.
		for (const fde of this.#fdes) fde.rows = rowsOf(fde);
	}

	/** The row for the instruction at `ip`; undefined if no described function has it. */
	findRow(ip: Kaddr): UnwindRow | undefined {
		let low = 0;
		let high = this.#fdes.length;
		while (low < high) {
			const middle = (low + high) >> 1;
			if (this.#fdes[middle]!.start <= ip) low = middle + 1;
			else high = middle;
		}
		const fde = this.#fdes[low - 1];
		if (fde === undefined || ip - fde.start >= fde.size) return undefined;
		const offset = ip - fde.start;
		let found: UnwindRow | undefined;
		for (const entry of fde.rows!) {
			if (entry.offset > offset) break;
			found = entry.row;
		}
		return found;
	}

	#parse(section: EhFrameSection): void {
		const reader = new DwarfReader({ ...section, ...EH_FRAME });
		const cies = new Map<number, Cie>();
		while (reader.at < section.data.length) {
			const start = reader.at;
			const length = reader.u32();
			// The terminator, from crtend.o. The records of the next object may follow.
			if (length === 0) continue;
			if (length === 0xffffffff) reader.fail("64-bit frame descriptions are not supported");
			const body = reader.at;
			const end = body + length;
			if (end > section.data.length) reader.fail(`the entry at 0x${start.toString(16)} runs past the section's end`);
			const entry = reader.within(body, end);
			const id = entry.u32();
			if (id === 0) {
				cies.set(start, readCie(entry));
			} else {
				const cie = cies.get(body - id);
				if (cie === undefined) reader.fail(`the entry at 0x${start.toString(16)} names no CIE`);
				else this.#fdes.push(readFde(entry, cie, section.address));
			}
			reader.at = end;
		}
	}
}

function readCie(entry: DwarfReader): Cie {
	const version = entry.u8();
	if (version !== 1 && version !== 3) entry.fail(`CIE version ${version} is not supported`);
	const augmentation = entry.string();
	const codeAlign = entry.uleb();
	const dataAlign = entry.sleb();
	const returnRegister = version === 1 ? entry.u8() : entry.uleb();
	if (returnRegister !== RETURN_ADDRESS) entry.fail(`the return address is in column ${returnRegister}, not 16`);
	let pointerEncoding = DW_EH_PE.absptr;
	let signal = false;
	if (augmentation !== "" && !augmentation.startsWith("z"))
		entry.fail(`augmentation "${augmentation}" is not supported`);
	let after = entry.at;
	for (const letter of augmentation) {
		if (letter === "z") {
			const size = entry.uleb();
			after = entry.at + size;
		} else if (letter === "R") pointerEncoding = entry.u8();
		else if (letter === "S") signal = true;
		else entry.fail(`augmentation "${augmentation}" is not supported: this is no C code`);
	}
	if (after < entry.at || after > entry.end) entry.fail("the augmentation runs past its entry");
	entry.at = Math.max(after, entry.at);
	const augmented = augmentation.startsWith("z");
	const initial = entry.rest();
	// Each function that names the CIE runs its instructions.
	if (initial.length > MAX_INITIAL) {
		entry.fail(`a CIE has ${initial.length} bytes of instructions; ${MAX_INITIAL} are supported`);
	}
	return { codeAlign, dataAlign, pointerEncoding, signal, augmented, initial };
}

function readFde(entry: DwarfReader, cie: Cie, base: Kaddr): Fde {
	const place = (base + entry.at) | 0;
	const encoded = readPointer(entry, cie.pointerEncoding);
	const start = (cie.pointerEncoding & 0x70) === DW_EH_PE.pcrel ? (place + encoded) | 0 : encoded | 0;
	const size = readPointer(entry, cie.pointerEncoding & 0x0f);
	if (size < 0 || size > 0x7fffffff) entry.fail(`a function of ${size} bytes`);
	if (cie.augmented) {
		const skip = entry.uleb();
		if (entry.at + skip > entry.end) entry.fail("the augmentation runs past its entry");
		entry.at += skip;
	}
	return { start, size, cie, program: entry.rest(), reader: entry, rows: undefined };
}

/** A pointer as a number; only the low 32 bits of an address are exact. */
function readPointer(entry: DwarfReader, encoding: number): number {
	const application = encoding & 0xf0;
	if (application !== 0 && application !== DW_EH_PE.pcrel) {
		entry.fail(`pointer encoding 0x${encoding.toString(16)} is not supported`);
	}
	switch (encoding & 0x0f) {
		case DW_EH_PE.sdata4:
			return entry.u32() | 0;
		case DW_EH_PE.udata4:
			return entry.u32();
		case DW_EH_PE.absptr:
		case DW_EH_PE.sdata8:
		case DW_EH_PE.udata8:
			return Number(BigInt.asIntN(64, entry.u64()));
		default:
			return entry.fail(`pointer encoding 0x${encoding.toString(16)} is not supported`);
	}
}

function rowsOf(fde: Fde): { offset: number; row: UnwindRow | undefined }[] {
	const { cie, reader } = fde;
	const program = new CfaProgram(cie.codeAlign, cie.dataAlign);
	program.run(reader.over(cie.initial), fde.size);
	program.endOfInitial();
	program.run(reader.over(fde.program), fde.size);
	return program.rows.map(({ offset, state }) => ({ offset, row: toRow(state, cie.signal, reader) }));
}

function toRow(state: CfaState, signal: boolean, reader: DwarfReader): UnwindRow | undefined {
	// A CFA that needs an expression: this frame cannot be walked. That is a result, not an error.
	if (state.cfaRegister === undefined) return undefined;
	const cfaRegister = HARDWARE[state.cfaRegister];
	if (cfaRegister === undefined) reader.fail(`the CFA is based on register ${state.cfaRegister}`);
	const saved: { register: number; offset: number }[] = [];
	let raOffset: number | undefined;
	for (const [register, rule] of state.rules) {
		if (rule === "unwalkable") return undefined;
		const hardware = HARDWARE[register];
		if (register === RETURN_ADDRESS) raOffset = rule === "undefined" ? undefined : rule;
		else if (typeof rule === "number" && hardware !== undefined) saved.push({ register: hardware, offset: rule });
	}
	if (raOffset === undefined && state.rules.get(RETURN_ADDRESS) !== "undefined") return undefined;
	return { cfaRegister: cfaRegister!, cfaOffset: state.cfaOffset, raOffset, signal, saved };
}
