import type { UnwindRow } from "../../elf/index.js";
import { toU64 } from "../../memory/index.js";

/** Where one unwind row is valid. */
export interface RowRange {
	readonly start: number;
	readonly end: number;
	/** Undefined: the caller cannot be found. */
	readonly row: UnwindRow | undefined;
	/** Assembly: the registers of the caller that it does not keep are not known. C code says where its variables are instead. */
	readonly forgets: boolean;
}

/** Number in DWARF of each register, by its number in the hardware (psABI, figure 3.36). */
const DWARF = [0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15];
const RETURN_ADDRESS = 16;
/** rax, rcx, rdx, rsi, rdi, r8 to r11 (psABI, 3.2.1). */
const CALLER_SAVED = [0, 1, 2, 6, 7, 8, 9, 10, 11];
const DW_CFA = {
	def_cfa_sf: 0x12,
	offset_extended_sf: 0x11,
	undefined: 0x07,
	expression: 0x10,
	def_cfa_expression: 0x0f,
};
const DW_OP = { breg0: 0x70, deref: 0x06, consts: 0x11, plus: 0x22 };
const ID = 0xffffffff;

/**
 * Unwind rows as .debug_frame (DWARF 5, 6.4.1): an entry for each row, so that a debugger walks the stacks of all guest code,
 * trampolines too.
 */
export function debugFrame(ranges: readonly RowRange[]): Uint8Array {
	const out: number[] = [];
	// Augmentation S: the return address is where the caller goes on, as behind a signal. z: it has a length.
	const plain = cie(out, "");
	const signal = cie(out, "zS");
	for (const { start, end, row, forgets } of ranges) {
		const isSignal = row?.signal ?? false;
		const body = [...u32(isSignal ? signal : plain), ...u64(start), ...u64Length(end - start)];
		if (isSignal) body.push(0);
		body.push(...program(row, forgets));
		entry(out, body);
	}
	return Uint8Array.from(out);
}

function cie(out: number[], augmentation: string): number {
	const at = out.length;
	const text = [...augmentation].map((character) => character.charCodeAt(0));
	// Version 3; code and data are not scaled: data in words of -8 bytes.
	const body = [...u32(ID), 3, ...text, 0, ...uleb(1), ...sleb(-8), ...uleb(RETURN_ADDRESS)];
	if (augmentation.startsWith("z")) body.push(0);
	entry(out, body);
	return at;
}

/** Pads with DW_CFA_nop to whole words. */
function entry(out: number[], body: number[]): void {
	while ((body.length + 4) % 8 !== 0) body.push(0);
	out.push(...u32(body.length), ...body);
}

function program(row: UnwindRow | undefined, forgets: boolean): number[] {
	if (row === undefined || row.raOffset === undefined) {
		return [DW_CFA.def_cfa_sf, ...uleb(DWARF[4]!), ...sleb(0), DW_CFA.undefined, ...uleb(RETURN_ADDRESS)];
	}
	const code = cfa(row);
	// The numbers count in words of -8 bytes, as the CIE says.
	const saved = (register: number, offset: number) => [
		DW_CFA.offset_extended_sf,
		...uleb(register),
		...sleb(offset / -8),
	];
	code.push(...saved(RETURN_ADDRESS, row.raOffset));
	for (const register of forgets ? CALLER_SAVED : []) {
		if (!row.saved.some((one) => one.register === register)) code.push(DW_CFA.undefined, ...uleb(DWARF[register]!));
	}
	for (const { register, offset, base } of row.saved) {
		if (base === undefined) code.push(...saved(DWARF[register]!, offset));
		else {
			const place = [DW_OP.breg0 + DWARF[base]!, ...sleb(offset)];
			code.push(DW_CFA.expression, ...uleb(DWARF[register]!), ...uleb(place.length), ...place);
		}
	}
	return code;
}

function cfa({ cfaRegister, cfaOffset, cfaLoad }: UnwindRow): number[] {
	const register = DWARF[cfaRegister]!;
	if (cfaLoad === undefined && cfaOffset % 8 === 0)
		return [DW_CFA.def_cfa_sf, ...uleb(register), ...sleb(cfaOffset / -8)];
	const sum = [DW_OP.breg0 + register, ...sleb(cfaOffset)];
	const expression = cfaLoad === undefined ? sum : [...sum, DW_OP.deref, DW_OP.consts, ...sleb(cfaLoad), DW_OP.plus];
	return [DW_CFA.def_cfa_expression, ...uleb(expression.length), ...expression];
}

function u32(value: number): number[] {
	return [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24];
}

/** A kernel address. */
function u64(value: number): number[] {
	const whole = toU64(value);
	return [...u32(Number(whole & 0xffffffffn)), ...u32(Number(whole >> 32n))];
}

function u64Length(value: number): number[] {
	return [...u32(value), 0, 0, 0, 0];
}

function uleb(value: number): number[] {
	const bytes: number[] = [];
	let rest = value;
	for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
	return [...bytes, rest];
}

function sleb(value: number): number[] {
	const bytes: number[] = [];
	let rest = value;
	for (;;) {
		const byte = rest & 0x7f;
		rest >>= 7;
		if ((rest === 0 && (byte & 0x40) === 0) || (rest === -1 && (byte & 0x40) !== 0)) return [...bytes, byte];
		bytes.push(byte | 0x80);
	}
}
