import { DwarfReader, type DwarfSection } from "./dwarf.js";

/** The name of a source, for which the sections with strings are needed. */
export type FileName = (sections: ReadonlyMap<string, Uint8Array>) => string;

/** Rows of a sequence: the offset from its start at which each one begins. */
export interface LineRows {
	readonly offsets: number[];
	/** Index in the unit's files. */
	readonly files: number[];
	readonly lines: number[];
}

/** The header of a unit (DWARF 5, 6.2.4; DWARF 4, 6.2.4). */
export interface LineUnit {
	readonly minLength: number;
	readonly lineBase: number;
	readonly lineRange: number;
	/** Number of operands of each standard opcode. */
	readonly operands: readonly number[];
	/** By the number that the program uses. */
	readonly files: readonly FileName[];
	/** The program. */
	readonly program: DwarfReader;
}

/** Longest name that is shown; more is cut. */
const MAX_NAME = 1024;

/** Folders, and files, of one unit. */
const MAX_FILES = 1 << 14;

const DW_LNCT = { path: 1, directory_index: 2 } as const;
const DW_FORM = {
	block: 0x09,
	data1: 0x0b,
	data2: 0x05,
	data4: 0x06,
	data8: 0x07,
	data16: 0x1e,
	string: 0x08,
	strp: 0x0e,
	udata: 0x0f,
	line_strp: 0x1f,
} as const;

/** The units of `.debug_line`. */
export function* readUnits(section: DwarfSection): Generator<LineUnit, void, void> {
	const whole = new DwarfReader(section);
	while (whole.at < whole.end) {
		const length = whole.u32();
		if (length >= 0xfffffff0) whole.fail("64-bit DWARF is not supported");
		const begin = whole.at;
		whole.skip(length);
		yield readUnit(whole.within(begin, begin + length));
	}
}

function readUnit(reader: DwarfReader): LineUnit {
	const version = reader.u16();
	if (version < 2 || version > 5) reader.fail(`DWARF version ${version}; 2 to 5 are supported`);
	if (version === 5) {
		const [addressSize, segmentSize] = [reader.u8(), reader.u8()];
		if (addressSize !== 8 || segmentSize !== 0) reader.fail(`addresses of ${addressSize} + ${segmentSize} bytes`);
	}
	const headerLength = reader.u32();
	const begin = reader.at + headerLength;
	const minLength = reader.u8();
	if (version >= 4 && reader.u8() !== 1) reader.fail("several operations in one instruction: not x86");
	reader.u8();
	const lineBase = (reader.u8() << 24) >> 24;
	const lineRange = reader.u8();
	if (lineRange === 0) reader.fail("line_range is 0");
	const opcodeBase = reader.u8();
	const operands = Array.from({ length: Math.max(opcodeBase - 1, 0) }, () => reader.u8());
	const files = version === 5 ? filesOf5(reader) : filesOf4(reader);
	if (begin < reader.at || begin > reader.end) reader.fail("the header's length is not that of its contents");
	return { minLength, lineBase, lineRange, operands, files, program: reader.within(begin, reader.end) };
}

function filesOf4(reader: DwarfReader): FileName[] {
	const folders: FileName[] = [() => ""];
	for (let name = reader.string(); name !== ""; name = reader.string()) folders.push(plain(name));
	if (folders.length > MAX_FILES) reader.fail(`${folders.length} folders; ${MAX_FILES} are supported`);
	// Files are counted from 1.
	const files: FileName[] = [() => "?"];
	for (let name = reader.string(); name !== ""; name = reader.string()) {
		files.push(join(folders[reader.uleb()], plain(name)));
		reader.uleb();
		reader.uleb();
		if (files.length > MAX_FILES) reader.fail(`more than ${MAX_FILES} files`);
	}
	return files;
}

function filesOf5(reader: DwarfReader): FileName[] {
	const folders = entries(reader).map(({ name }) => name);
	return entries(reader).map(({ name, folder }) => join(folders[folder], name));
}

interface Entry {
	readonly name: FileName;
	readonly folder: number;
}

/** A table of folders or files: its format, then its entries (DWARF 5, 6.2.4.1). */
function entries(reader: DwarfReader): Entry[] {
	const format: { readonly content: number; readonly form: number }[] = [];
	for (let left = reader.u8(); left > 0; left--) format.push({ content: reader.uleb(), form: reader.uleb() });
	const count = reader.uleb();
	if (count > MAX_FILES) reader.fail(`${count} files or folders; ${MAX_FILES} are supported`);
	const out: Entry[] = [];
	for (let i = 0; i < count; i++) {
		let entry: Entry = { name: () => "?", folder: 0 };
		for (const { content, form } of format) {
			const value = readForm(reader, form);
			if (content === DW_LNCT.path && typeof value === "function") entry = { ...entry, name: value };
			if (content === DW_LNCT.directory_index && typeof value === "number") entry = { ...entry, folder: value };
		}
		out.push(entry);
	}
	return out;
}

/** A number, a text, or undefined for what is of no use here. */
function readForm(reader: DwarfReader, form: number): number | FileName | undefined {
	switch (form) {
		case DW_FORM.string:
			return plain(reader.string());
		case DW_FORM.line_strp:
			return inSection(".debug_line_str", reader.u32());
		case DW_FORM.strp:
			return inSection(".debug_str", reader.u32());
		case DW_FORM.udata:
			return reader.uleb();
		case DW_FORM.data1:
			return reader.u8();
		case DW_FORM.data2:
			return reader.u16();
		case DW_FORM.data4:
			return reader.u32();
		case DW_FORM.data8:
			reader.skip(8);
			return undefined;
		case DW_FORM.data16:
			reader.skip(16);
			return undefined;
		case DW_FORM.block:
			reader.skip(reader.uleb());
			return undefined;
		default:
			return reader.fail(`form 0x${form.toString(16)} in a table of files`);
	}
}

function plain(text: string): FileName {
	return () => text.slice(0, MAX_NAME);
}

/** Read when it is shown: many entries may name one long text. */
function inSection(section: string, offset: number): FileName {
	return (sections) => {
		const data = sections.get(section)?.subarray(offset, offset + MAX_NAME) ?? new Uint8Array(0);
		const end = data.indexOf(0);
		return new TextDecoder("latin1").decode(end < 0 ? data : data.subarray(0, end)) || "?";
	};
}

/** `folder/name`, without a `./` before it. */
function join(folder: FileName | undefined, name: FileName): FileName {
	return (sections) => {
		const [before, file] = [folder?.(sections) ?? "", name(sections)];
		const path = before === "" || file.startsWith("/") ? file : `${before}/${file}`;
		// It stands in stories and in schedules, which go line by line.
		return path.replace(/^(\.\/)+/, "").replace(/\p{Cc}/gu, "?");
	};
}

/** Registers of the line number state machine (DWARF 5, 6.2.2) that matter here. */
interface Registers {
	/** Of the sequence's first instruction. */
	address: bigint;
	/** Bytes from `address`. */
	offset: number;
	file: number;
	line: number;
}

interface RowsOfCode {
	readonly start: bigint;
	readonly end: bigint;
	readonly rows: LineRows;
}

const DW_LNS = {
	copy: 1,
	advance_pc: 2,
	advance_line: 3,
	set_file: 4,
	const_add_pc: 8,
	fixed_advance_pc: 9,
} as const;
const DW_LNE = { end_sequence: 1, set_address: 2 } as const;

/** The line number program of one unit. It takes time in proportion to its bytes: every opcode makes one row at most. */
export class LineProgram {
	readonly #unit: LineUnit;
	#at: Registers = { address: 0n, offset: 0, file: 1, line: 1 };
	#rows: LineRows = { offsets: [], files: [], lines: [] };

	constructor(unit: LineUnit) {
		this.#unit = unit;
	}

	/** Throws what the section says, also for addresses that descend. */
	*sequences(): Generator<RowsOfCode, void, void> {
		const { program, operands } = this.#unit;
		while (program.at < program.end) {
			const opcode = program.u8();
			if (opcode > operands.length) this.#special(opcode - operands.length - 1);
			else if (opcode === 0) {
				const ended = this.#extended();
				if (ended !== undefined) yield ended;
			} else this.#standard(opcode, operands[opcode - 1]!);
		}
	}

	#special(adjusted: number): void {
		const { lineBase, lineRange } = this.#unit;
		this.#advance(Math.floor(adjusted / lineRange));
		this.#at.line += lineBase + (adjusted % lineRange);
		this.#row();
	}

	#standard(opcode: number, operands: number): void {
		const { program } = this.#unit;
		const at = this.#at;
		if (opcode === DW_LNS.copy) this.#row();
		else if (opcode === DW_LNS.advance_pc) this.#advance(program.uleb());
		else if (opcode === DW_LNS.advance_line) at.line += program.sleb();
		else if (opcode === DW_LNS.set_file) at.file = program.uleb();
		else if (opcode === DW_LNS.const_add_pc)
			this.#advance(Math.floor((255 - this.#unit.operands.length - 1) / this.#unit.lineRange));
		else if (opcode === DW_LNS.fixed_advance_pc) at.offset += program.u16();
		// Columns, statements, and what later versions may add.
		else for (let i = 0; i < operands; i++) program.uleb();
	}

	#extended(): RowsOfCode | undefined {
		const { program } = this.#unit;
		const length = program.uleb();
		const end = program.at + length;
		if (length === 0 || end > program.end) program.fail("an extended opcode runs past its unit");
		const opcode = program.u8();
		let ended: RowsOfCode | undefined;
		if (opcode === DW_LNE.end_sequence) ended = this.#end();
		else if (opcode === DW_LNE.set_address) {
			if (length !== 9) program.fail(`an address of ${length - 1} bytes`);
			this.#setAddress(program.u64());
		}
		program.at = end;
		return ended;
	}

	/** In the middle of a sequence it may only go on. */
	#setAddress(address: bigint): void {
		const { program } = this.#unit;
		if (this.#rows.offsets.length === 0) {
			Object.assign(this.#at, { address, offset: 0 });
			return;
		}
		const offset = Number(address - this.#at.address);
		if (offset < this.#at.offset) program.fail("addresses descend");
		this.#at.offset = offset;
	}

	#advance(operations: number): void {
		this.#at.offset += operations * this.#unit.minLength;
	}

	#row(): void {
		const { offsets, files, lines } = this.#rows;
		const { offset, file, line } = this.#at;
		// Of rows for one address the last one counts.
		if (offsets.at(-1) === offset) {
			files[files.length - 1] = file;
			lines[lines.length - 1] = line;
		} else if (files.at(-1) !== file || lines.at(-1) !== line) {
			offsets.push(offset);
			files.push(file);
			lines.push(line);
		}
	}

	#end(): RowsOfCode | undefined {
		const { address, offset } = this.#at;
		const rows = this.#rows;
		this.#rows = { offsets: [], files: [], lines: [] };
		this.#at = { address: 0n, offset: 0, file: 1, line: 1 };
		const [first] = rows.offsets;
		if (first === undefined || offset >= 2 ** 31) return undefined;
		return { start: address, end: address + BigInt(offset), rows };
	}
}
