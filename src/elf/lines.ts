import { KlpemuError } from "../base/index.js";
import { type Kaddr, toKaddr } from "../memory/index.js";
import { joinDebugSections, type PlacedObject } from "./debug-sections.js";
import { type FileName, LineProgram, type LineRows, readUnits } from "./line-program.js";
import type { SourceLine } from "./types.js";

/** The sections that lines are read from, and the relocations of the first one. */
const LINE_SECTIONS: readonly string[] = [".debug_line", ".debug_line_str", ".debug_str", ".rela.debug_line"];

/** Bytes of `.debug_line` that are read; a large driver has two million. */
const MAX_BYTES = 4 << 20;

/** Code of one part of a section, in which addresses ascend. */
interface Sequence {
	readonly start: Kaddr;
	readonly end: Kaddr;
	readonly rows: LineRows;
	readonly files: readonly FileName[];
}

/** The lines of the source that instructions come from (`.debug_line`, DWARF 2 to 5, section 6.2). */
export class LineTable {
	/** Why lines are not known; undefined: all of them could be read. */
	readonly problem: string | undefined;
	readonly #sequences: Sequence[] = [];
	readonly #strings: ReadonlyMap<string, Uint8Array>;

	/** `objects`: those of one image. Those without `.debug_line` have no lines. Throws nothing: lines are only for readers. */
	constructor(objects: readonly PlacedObject[]) {
		this.#strings = joinDebugSections(objects, LINE_SECTIONS);
		const data = this.#strings.get(".debug_line") ?? new Uint8Array(0);
		const named = objects.filter(({ object }) => object.sections.some(({ name }) => name === ".debug_line"));
		const object = named.map(({ object: { fileName } }) => fileName).join(", ");
		try {
			this.#read(object, data);
		} catch (error) {
			if (!(error instanceof KlpemuError)) throw error;
			this.problem = `${object}: ${error.reason}`;
		}
		this.#sequences.sort((a, b) => a.start - b.start);
	}

	#read(object: string, data: Uint8Array): void {
		const section = { name: ".debug_line", object, data, code: "ELF_BAD_LINES", hint: "compile with -g, or strip -g" };
		if (data.length > MAX_BYTES) {
			throw new KlpemuError("ELF_BAD_LINES", `'.debug_line' has ${data.length} bytes; ${MAX_BYTES} are supported`);
		}
		for (const unit of readUnits(section)) {
			for (const { start, end, rows } of new LineProgram(unit).sequences()) {
				this.#sequences.push({ start: toKaddr(start), end: toKaddr(end), rows, files: unit.files });
			}
		}
	}

	/** The line of the instruction at `address`; undefined: none is known. */
	find(address: Kaddr): SourceLine | undefined {
		const sequence = this.#sequences[last(this.#sequences.length, (i) => this.#sequences[i]!.start <= address)];
		if (sequence === undefined || address >= sequence.end) return undefined;
		const { rows, files, start } = sequence;
		const offset = address - start;
		const row = last(rows.offsets.length, (i) => rows.offsets[i]! <= offset);
		const file = files[rows.files[row] ?? -1];
		const line = rows.lines[row] ?? 0;
		// Line 0: code of the compiler's own.
		if (file === undefined || line === 0) return undefined;
		return { file: file(this.#strings), line };
	}
}

/** The last index below `count` for which `holds`, which holds up to some index; -1: there is none. */
function last(count: number, holds: (index: number) => boolean): number {
	let [low, high] = [0, count];
	while (low < high) {
		const middle = (low + high) >> 1;
		if (holds(middle)) low = middle + 1;
		else high = middle;
	}
	return low - 1;
}
