import { KlpemuError } from "../base/index.js";
import { isPerCpu } from "./percpu.js";
import { knownSection } from "./section-names.js";
import { type ElfObject, type ElfSection, type LinkOptions, SHN_UNDEF } from "./types.js";

/** Of an image that has no room in the CPUs' areas. */
const NO_ROOM = {
	holds: "per-CPU variables",
	why: "use an array of NR_CPUS elements, not DEFINE_PER_CPU()",
} as const;

/** Throws `ELF_SPECIAL_SECTION` for livepatch relocations that come too late: when a module is loaded, the table is applied long since. */
export function refuseLateTable(object: ElfObject, name: string, objname: string, table: ElfSection): void {
	if (objname === "vmlinux" || knownSection(table.name)?.use !== "applied") return;
	throw new KlpemuError(
		"ELF_SPECIAL_SECTION",
		`section '${name}' (a table that is applied before ${objname} is loaded) is not supported`,
		{ where: object.fileName, hint: `do not use static keys, static calls or pointers of ${objname} there` },
	);
}

/** Throws `ELF_SPECIAL_SECTION` for the first section that an image needs and that the linker would ignore. */
export function refuseSpecialSections({ objects, percpu }: LinkOptions): void {
	for (const object of objects) {
		const klp = new Set(object.klpRelocations.map(({ name }) => name));
		for (const section of object.sections) {
			if (section.size === 0 || section.index === SHN_UNDEF || klp.has(section.name)) continue;
			const known = knownSection(section.name);
			const found = percpu === undefined && isPerCpu(section) ? NO_ROOM : known?.use === "refused" ? known : undefined;
			if (found === undefined) continue;
			throw new KlpemuError("ELF_SPECIAL_SECTION", `section '${section.name}' (${found.holds}) is not supported`, {
				where: object.fileName,
				hint: found.why,
			});
		}
	}
}
