import { type Code, codeOf } from "./code.js";
import type { ModuleFile } from "./module-file.js";
import { followRegisters, type Registers } from "./registers.js";

/** A call of, or jump to, a function that the module does not define in the same object, with the arguments that are known. */
export interface CallSite {
	/** The function that is called. */
	readonly name: string;
	readonly by: Code;
	readonly registers: Registers;
}

/** Functions that are followed; a limit, so that the check of each file ends. */
const MAX_FUNCTIONS = 1000;

/** The calls of functions whose name fits, by their relocations. Within a function they come in the order of its code. */
export function callsOf(file: ModuleFile, isWanted: (name: string) => boolean): CallSite[] {
	const functions = new Map<string, { code: Code; places: Map<number, string> }>();
	for (const section of file.object.sections) {
		if (!file.isCode({ section: section.index, offset: 0 })) continue;
		for (const { symbol, offset } of section.relocations) {
			if (!isWanted(symbol.name)) continue;
			const user = file.symbolAt({ section: section.index, offset });
			const key = `${section.index}:${user?.value}`;
			if (user === undefined || (functions.size >= MAX_FUNCTIONS && !functions.has(key))) continue;
			const entry = functions.get(key) ?? { code: codeOf(user), places: new Map<number, string>() };
			entry.places.set(offset, symbol.name);
			functions.set(key, entry);
		}
	}
	return [...functions.values()].flatMap(({ code, places }) => callsIn(file, code, places));
}

function callsIn(file: ModuleFile, by: Code, places: ReadonlyMap<number, string>): CallSite[] {
	const calls: CallSite[] = [];
	const seen = new Set<number>();
	followRegisters(file, by, ({ instruction, offset, registers }) => {
		const place = offset + instruction.length - 4;
		const name = places.get(place);
		if (name === undefined || !/^(call|jmp|jcc)$/.test(instruction.row.semantic)) return;
		seen.add(place);
		calls.push({ name, by, registers: new Map(registers) });
	});
	// Behind an instruction that the decoder does not know, nothing is known of the arguments.
	for (const [place, name] of places) if (!seen.has(place)) calls.push({ name, by, registers: new Map() });
	return calls;
}
