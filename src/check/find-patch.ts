import type { ElfSection } from "../elf/index.js";
import { type Code, codeOf } from "./code.js";
import type { ModuleFile, Spot } from "./module-file.js";
import { followRegisters, RDI } from "./registers.js";

/** A call of klp_enable_patch(), and its argument if it is a variable of the file. */
export interface EnableCall {
	readonly by: Code;
	readonly patch: Spot | undefined;
}

/** Where a module's livepatch is described. */
export type PatchSource =
	| { readonly form: "klp_patch"; readonly at: Spot; readonly by: Code }
	| { readonly form: "klp-build"; readonly section: ElfSection; readonly by: Code }
	| { readonly form: "kpatch"; readonly section: ElfSection; readonly by: Code };

const KLP_BUILD_SECTIONS = [".init.klp_objects", "__klp_objects"];

/** Calls of klp_enable_patch(), in the order of the file. */
export function enableCalls(file: ModuleFile): EnableCall[] {
	const calls: EnableCall[] = [];
	for (const section of file.object.sections) {
		const uses = section.relocations.filter(({ symbol }) => symbol.name === "klp_enable_patch").slice(0, MAX_CALLS);
		for (const code of functionsAround(
			file,
			section.index,
			uses.map(({ offset }) => offset),
		)) {
			calls.push(...callsIn(file, code, new Set(uses.map(({ offset }) => offset))));
		}
	}
	return calls;
}

/** One is enough; a limit, so that the search ends for each file. */
const MAX_CALLS = 16;

function functionsAround(file: ModuleFile, section: number, offsets: readonly number[]): Code[] {
	const found = new Map<number, Code>();
	for (const offset of offsets) {
		const symbol = file.symbolAt({ section, offset });
		if (symbol !== undefined && file.isCode({ section, offset })) found.set(symbol.value, codeOf(symbol));
	}
	return [...found.values()];
}

function callsIn(file: ModuleFile, code: Code, uses: ReadonlySet<number>): EnableCall[] {
	const calls = new Map<number, EnableCall>();
	for (const use of uses) if (use >= code.offset && use < code.end) calls.set(use, { by: code, patch: undefined });
	followRegisters(file, code, ({ instruction, offset, registers }) => {
		const use = offset + instruction.length - 4;
		const argument = registers.get(RDI);
		if (calls.has(use) && argument?.kind === "here") calls.set(use, { by: code, patch: argument });
	});
	return [...calls.values()];
}

/** The places that describe the livepatch; what is made at run time is in `notFound`. */
export function findPatches(file: ModuleFile): { sources: PatchSource[]; notFound: Code[] } {
	const calls = enableCalls(file);
	const sources: PatchSource[] = [];
	for (const { patch, by } of calls) {
		if (patch === undefined) continue;
		const known = sources.some(
			(source) =>
				source.form === "klp_patch" && source.at.section === patch.section && source.at.offset === patch.offset,
		);
		if (!known) sources.push({ form: "klp_patch", at: patch, by });
	}
	const made = calls.filter(({ patch }) => patch === undefined).map(({ by }) => by);
	const [by] = made;
	if (by === undefined) return { sources, notFound: [] };
	for (const name of KLP_BUILD_SECTIONS) {
		const section = file.sectionNamed(name);
		if (section !== undefined) return { sources: [...sources, { form: "klp-build", section, by }], notFound: [] };
	}
	const table = file.sectionNamed(".kpatch.funcs");
	if (table !== undefined) return { sources: [...sources, { form: "kpatch", section: table, by }], notFound: [] };
	return { sources, notFound: made };
}
