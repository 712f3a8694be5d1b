import type { ElfRelocation, KlpRelocationSection } from "../elf/index.js";
import { codeAt } from "./code.js";
import { SHF } from "./module-file.js";
import { functionsOf, objectName, type Subject } from "./subject.js";
import { findSymbol } from "./symbol-lookup.js";

/** Names as klp_resolve_symbols() reads them with sscanf(). */
const SYMBOL = /^\.klp\.sym\.([^.]{1,55})\.([^,]{1,511}),(\d+)/;
const CONVERTER_SYMBOL = /^\.klp\.sym\.rela\.[^.]+\.[^.]+\.[^,]+,\d+$/;
const SECTION = /^\.klp\.rela\.([^.]{1,55})\.?(.*)$/;
/** Sections of files that are not finished (kpatch's create-diff-object, objtool klp diff). */
const INTERMEDIATE = /^\.kpatch\.(symbols|relocations|arch|checksum|dynrelas)$|^__klp_relocs(\.|$)|^\.klp\.symid$/;

/** Sections `.klp.rela.*` and the symbols that they use. */
export function checkKlpRelocations(subject: Subject): void {
	const { file, found } = subject;
	for (const section of file.object.sections) {
		if (INTERMEDIATE.test(section.name) && section.size > 0) {
			found.add("kpatch-intermediate", { in: section.name }, `section '${section.name}' is left`);
		}
	}
	for (const section of file.relaSections()) {
		if ((section.flags & SHF.RELA_LIVEPATCH) === 0 && section.size > 0) {
			found.add(
				"klp-rela-unflagged",
				{ in: section.name },
				`section '${section.name}' has the flags 0x${section.flags.toString(16)}`,
			);
		}
	}
	const patched = patchedObjects(subject);
	const flags = new Map(file.relaSections().map(({ name, flags }) => [name, flags]));
	for (const section of file.object.klpRelocations) {
		checkSection(subject, section, flags.get(section.name) ?? SHF.ALLOC, patched);
		for (const relocation of section.relocations) checkSymbol(subject, section, relocation);
	}
	checkOwners(subject, patched);
}

/** Objects that the livepatches patch, by name. */
function patchedObjects({ patches }: Subject): Set<string> {
	return new Set(patches.flatMap(({ objects = [] }) => objects.map(({ name }) => objectName(name))));
}

function checkSection(
	subject: Subject,
	{ name, objname, target }: KlpRelocationSection,
	flags: number,
	patched: ReadonlySet<string>,
): void {
	const { file, found, patches } = subject;
	const place = { object: objname, in: name };
	if ((flags & SHF.ALLOC) === 0 && objname !== "vmlinux") {
		found.add("klp-rela-not-alloc", place, `section '${name}' has the flags 0x${flags.toString(16)}`);
	}
	const said = SECTION.exec(name)?.[2] ?? "";
	const changed = file.object.sections[target]?.name ?? "";
	if (said !== changed) {
		found.add("klp-rela-section", place, `'${name}' changes section '${changed}'`);
	}
	if (objname !== "vmlinux" && patches.length > 0 && !patched.has(objname)) {
		found.add("klp-rela-no-object", place, `'${name}' waits for '${objname}', which the livepatch does not patch`);
	}
}

/** klp_resolve_symbols(), for one relocation. */
function checkSymbol(subject: Subject, { name, objname }: KlpRelocationSection, { symbol }: ElfRelocation): void {
	const { found } = subject;
	const place = { object: objname, in: name };
	if (!symbol.livepatch) {
		const dmesg = `livepatch: symbol ${symbol.name} is not marked as a livepatch symbol`;
		found.add("klp-sym-unmarked", place, `'${name}' uses '${symbol.name}', which is not in SHN_LIVEPATCH`, dmesg);
		return;
	}
	if (CONVERTER_SYMBOL.test(symbol.name)) {
		const rest = symbol.name.slice(".klp.sym.rela.".length).replace(/,\d+$/, "");
		const dmesg = `livepatch: symbol '${rest}' not found in symbol table`;
		found.add("klp-sym-converter", place, `'${symbol.name}' is input for klp-convert`, dmesg);
		return;
	}
	const [, owner, wanted, position] = SYMBOL.exec(symbol.name) ?? [];
	if (owner === undefined || wanted === undefined) {
		const dmesg = `livepatch: symbol ${symbol.name} has an incorrectly formatted name`;
		found.add("klp-sym-format", place, `'${symbol.name}' is no .klp.sym.OBJECT.NAME,POSITION`, dmesg);
		return;
	}
	if (objname !== "vmlinux" && owner === "vmlinux") {
		const dmesg = `livepatch: invalid access to vmlinux symbol '${wanted}' from module-specific livepatch relocation section`;
		found.add("klp-sym-vmlinux", place, `'${name}' uses '${symbol.name}'`, dmesg);
		return;
	}
	if (owner !== objname) {
		found.add("klp-sym-other-object", place, `'${name}' uses '${wanted}' of ${owner}, which must be loaded before`);
	}
	const answer = findSymbol(subject.kernel, owner, wanted, Number(position));
	if (answer.kind === "refused") {
		found.add("klp-sym-missing", place, `'${symbol.name}': ${answer.what}`, answer.dmesg);
	} else if (answer.kind === "unknown") found.notLookedAt(answer.why);
}

/** A function's livepatch relocations must be applied when its own object is there, or before. */
function checkOwners(subject: Subject, patched: ReadonlySet<string>): void {
	const { file, found } = subject;
	const owners = new Map<string, string>();
	for (const { object, func } of functionsOf(subject)) {
		const code = func.newFunc.kind === "here" ? codeAt(file, func.newFunc) : undefined;
		if (code !== undefined) owners.set(`${code.section}:${code.offset}`, objectName(object.name));
	}
	for (const { name, objname, target, relocations } of file.object.klpRelocations) {
		if (objname === "vmlinux" || !patched.has(objname)) continue;
		for (const { offset } of relocations) {
			const code = codeAt(file, { section: target, offset });
			const owner = code === undefined ? undefined : owners.get(`${code.section}:${code.offset}`);
			if (code === undefined || owner === undefined || owner === objname) continue;
			const what = `${code.name} replaces a function of ${owner}, and '${name}' is applied when ${objname} is loaded`;
			found.add("klp-rela-other-object", { object: owner, in: code.name }, what);
		}
	}
}
