import { lowerBound } from "../base/index.js";
import type { UnwindRow } from "../elf/index.js";

/** An unwind row that holds from `offset` (bytes from the start of the code) to the next hint. */
export interface UnwindHint {
	readonly offset: number;
	/** undefined: this code has no frame that a row can describe. */
	readonly row: UnwindRow | undefined;
}

/** The rows of assembly code, by offset, so that they are also valid for copies of the code. */
export class HintTable {
	readonly hints: readonly UnwindHint[];

	constructor(hints: readonly UnwindHint[]) {
		this.hints = hints;
	}

	/** The row for the instruction at `offset`; undefined before the first hint. */
	row(offset: number): UnwindRow | undefined {
		const { hints } = this;
		return hints[lowerBound(hints.length, (index) => hints[index]!.offset > offset) - 1]?.row;
	}
}
