import type { Image, ImageSymbol } from "../elf/index.js";
import type { Machine } from "../machine/index.js";
import type { Kaddr } from "../memory/index.js";

/** What gcc makes of one function besides its main part: `NAME.cold`, `NAME.part.0`, `NAME.part.0.cold`. */
const PIECE = /^(.+?)(\.(cold|part)(\.\d+)?)+$/;
/** The length of `call rel32`, and its opcode. */
const CALL_SIZE = 5;
const CALL = 0xe8;

/**
 * Addresses of the functions that a task with this stack is inside, for each entry. A function is all of its pieces, wherever gcc has
 * put them; and a call that is the last instruction of a function returns to the address behind it, where the next one begins.
 * klp_check_stack_func() only looks at one range, which is why the judge does not use ranges.
 */
export function functionsInside(machine: Machine, entries: readonly Kaddr[]): Kaddr[][] {
	return entries.map((entry, index) => {
		const at = functionAt(machine, entry);
		// The first entry is the instruction pointer itself.
		const returnsHere = index > 0 && isBehindLastCall(machine, entry);
		return [at, returnsHere ? functionAt(machine, (entry - 1) | 0) : undefined].filter((one) => one !== undefined);
	});
}

/** The entry point of the function of which the address is a part. */
function functionAt({ kallsyms }: Machine, address: Kaddr): Kaddr | undefined {
	for (const image of kallsyms.images) {
		const hit = image.symbolAt(address);
		if (hit !== undefined) return (mainPart(image, hit.symbol) ?? hit.symbol).address;
	}
	return undefined;
}

function mainPart(image: Image, { name, object }: ImageSymbol): ImageSymbol | undefined {
	const main = PIECE.exec(name)?.[1];
	return main === undefined ? undefined : image.lookup(main).find((symbol) => symbol.object === object);
}

/** The address begins a function, and a call stands right before it. */
function isBehindLastCall({ kallsyms, memory }: Machine, address: Kaddr): boolean {
	if (kallsyms.kallsyms_lookup_size_offset(address)?.offset !== 0) return false;
	const before = (address - CALL_SIZE) | 0;
	return kallsyms.kallsyms_lookup_size_offset(before) !== undefined && memory.u8(before) === CALL;
}
