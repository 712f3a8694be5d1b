import type { ElfSection } from "../elf/index.js";
import { callsOf } from "./calls.js";
import type { Code } from "./code.js";
import type { ModuleFile, Spot } from "./module-file.js";
import { RDI } from "./registers.js";

/** Where a module's livepatch is described. */
export type PatchSource =
	| { readonly form: "klp_patch"; readonly at: Spot; readonly by: Code }
	| { readonly form: "klp-build"; readonly section: ElfSection; readonly by: Code }
	| { readonly form: "kpatch"; readonly section: ElfSection; readonly by: Code };

const KLP_BUILD_SECTIONS = [".init.klp_objects", "__klp_objects"];

/** The places that describe the livepatch; what is made at run time is in `notFound`. */
export function findPatches(file: ModuleFile): { sources: PatchSource[]; notFound: Code[] } {
	const sources: PatchSource[] = [];
	const made: Code[] = [];
	for (const { by, registers } of callsOf(file, (name) => name === "klp_enable_patch").slice(0, MAX_CALLS)) {
		const patch = registers.get(RDI);
		if (patch?.kind !== "here") made.push(by);
		else if (!sources.some((source) => isAt(source, patch))) sources.push({ form: "klp_patch", at: patch, by });
	}
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

/** One is enough; a limit, so that the check of each file ends. */
const MAX_CALLS = 16;

function isAt(source: PatchSource, { section, offset }: Spot): boolean {
	return source.form === "klp_patch" && source.at.section === section && source.at.offset === offset;
}
