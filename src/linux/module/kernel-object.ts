import { KlpemuError } from "../../base/index.js";
import { type ElfObject, type ElfSection, THIS_MODULE } from "../../elf/index.js";
import type { KernelLayout } from "../lib/index.js";

const SHT = { SYMTAB: 2, NOBITS: 8 } as const;
const SHF_ALLOC = 2;

/** A module as the kernel's build makes it (a .ko): what its .modinfo says. */
export interface KernelObject {
	readonly object: ElfObject;
	/** The section {@link THIS_MODULE}. */
	readonly section: ElfSection;
	/** KBUILD_MODNAME. */
	readonly name: string;
	/** `6.12.117+deb12-cloud-amd64 SMP preempt mod_unload modversions `: release and options of its kernel. */
	readonly vermagic: string;
	/** Its first word: the release. */
	readonly release: string;
	/** MODULE_INFO(livepatch, "Y"). */
	readonly livepatch: boolean;
	/** MODULE_LICENSE(), or what set_license() takes for none. */
	readonly license: string;
	/** Built inside of the kernel's own tree. */
	readonly intree: boolean;
	/** Modules whose symbols it uses, as modpost has found them. */
	readonly depends: readonly string[];
	/** It has checksums of the symbols that it uses (CONFIG_MODVERSIONS). */
	readonly hasVersions: boolean;
}

/** The values of each tag in .modinfo, in the order of the file. */
export function modinfoOf({ sections }: ElfObject): ReadonlyMap<string, readonly string[]> {
	const tags = new Map<string, string[]>();
	for (const { name, data } of sections) {
		if (name !== ".modinfo") continue;
		for (const entry of new TextDecoder().decode(data).split("\0")) {
			const [tag, ...value] = entry.split("=");
			if (tag === "" || value.length === 0) continue;
			const values = tags.get(tag!) ?? [];
			values.push(value.join("="));
			tags.set(tag!, values);
		}
	}
	return tags;
}

function bad(object: ElfObject, reason: string, hint: string): KlpemuError {
	return new KlpemuError("ELF_BAD_MODULE", reason, { where: object.fileName, hint });
}

/**
 * What a .ko says of itself; undefined for an object that the kernel's build has not linked as a module. Throws `ELF_BAD_MODULE` for a
 * damaged or stripped one.
 */
export function kernelObjectOf(object: ElfObject): KernelObject | undefined {
	const section = object.sections.find(({ name }) => name === THIS_MODULE);
	if (section === undefined) return undefined;
	if ((section.flags & SHF_ALLOC) === 0 || section.type === SHT.NOBITS || section.size === 0) {
		throw bad(
			object,
			`section '${THIS_MODULE}' has no contents: it must be the struct module`,
			"build the module again",
		);
	}
	if (!object.sections.some(({ type }) => type === SHT.SYMTAB)) {
		throw bad(
			object,
			"the module has no symbol table",
			"it was stripped of more than debug information: strip -g keeps it",
		);
	}
	const modinfo = modinfoOf(object);
	const tag = (name: string): string => {
		const value = modinfo.get(name)?.[0];
		if (value !== undefined) return value;
		throw bad(
			object,
			`the module has no '${name}' in .modinfo`,
			"modpost writes it: give the .ko, as make modules makes it",
		);
	};
	const [name, vermagic] = [tag("name"), tag("vermagic")];
	return {
		...{ object, section, name, vermagic },
		release: vermagic.split(" ")[0]!,
		livepatch: modinfo.has("livepatch"),
		license: modinfo.get("license")?.[0] ?? "unspecified",
		intree: modinfo.has("intree"),
		depends: (modinfo.get("depends")?.[0] ?? "").split(",").filter((other) => other !== ""),
		hasVersions: object.sections.some(({ name: other, size }) => other === "__versions" && size > 0),
	};
}

/** The .ko among the sources of a module. Throws `ELF_BAD_MODULE` if others are beside it. */
export function onlyKernelObject(objects: readonly ElfObject[]): KernelObject | undefined {
	const found = objects.map(kernelObjectOf).find((ko) => ko !== undefined);
	if (found === undefined || objects.length === 1) return found;
	throw bad(found.object, "a .ko is a whole module", "give it alone: one module has one .ko, and no other source");
}

/** Why the kernel does not load a .ko, in its words; undefined: it does. `layout`: of the kernel that loads it. */
export function refusalOf(ko: KernelObject, layout: KernelLayout | undefined): string | undefined {
	if (ko.release !== layout?.release) {
		// With CONFIG_MODVERSIONS the kernel compares checksums of symbols, not the release: nobody checks them here.
		return `version magic '${ko.vermagic}' should be '${layout?.release ?? "none: this machine has no kernel's layout"}'`;
	}
	if (ko.section.size !== layout.size("struct module")) {
		return `${THIS_MODULE} section size must match the kernel's built struct module size at run time`;
	}
	return undefined;
}

/** The name in the struct module of a .ko. */
export function structName({ section }: KernelObject, layout: KernelLayout): string {
	const text = new TextDecoder("latin1").decode(section.data.subarray(layout.offset("module.name")));
	return text.slice(0, text.indexOf("\0"));
}
