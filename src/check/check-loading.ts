import { type ElfRelocation, relocationName, SHN_COMMON, SHN_UNDEF } from "../elf/index.js";
import { license_is_gpl_compatible } from "../linux/module/index.js";
import { SHT_NOBITS } from "./module-file.js";
import type { Subject } from "./subject.js";

/** Types that __write_relocate_add() of arch/x86/kernel/module.c knows, with the bytes that they write. */
const KNOWN_TYPES: ReadonlyMap<number, number> = new Map([
	[0, 0],
	[1, 8],
	[2, 4],
	[4, 4],
	[10, 4],
	[11, 4],
	[24, 8],
]);
const THIS_MODULE = ".gnu.linkonce.this_module";
/** struct modversion_info: checksum and name. */
const VERSION = { size: 64, name: 8 } as const;

/** What load_module() would refuse before the init function runs. */
export function checkLoading(subject: Subject): void {
	checkThisModule(subject);
	checkVermagic(subject);
	checkLicense(subject);
	checkSymbols(subject);
	checkVersions(subject);
	checkRelocations(subject);
	const { file, found } = subject;
	if (file.name === "vmlinux") {
		const what = "the module is named vmlinux, which stands for the kernel in livepatches";
		found.add("module-named-vmlinux", { in: ".modinfo" }, what, "livepatch: vmlinux.ko: invalid module name");
	}
}

function checkThisModule({ file, found, core }: Subject): void {
	const section = file.sectionNamed(THIS_MODULE);
	if (section === undefined || section.type === SHT_NOBITS) {
		const dmesg = `module ${file.name}: Exactly one ${THIS_MODULE} section must exist.`;
		found.add("no-this-module", { in: THIS_MODULE }, "", dmesg);
		return;
	}
	if (core === undefined || !core.has("sizeof(struct module)")) return;
	const size = core.size("struct module");
	if (section.size === size) return;
	const dmesg = `module ${file.name}: ${THIS_MODULE} section size must match the kernel's built struct module size at run time`;
	const what = `struct module has ${section.size} bytes, in ${core.release} it has ${size}`;
	found.add("this-module-size", { in: THIS_MODULE }, what, dmesg);
}

function checkVermagic({ file, found, kernel, core }: Subject): void {
	const magic = file.modinfo.get("vermagic")?.[0];
	if (magic === undefined) {
		found.add("no-vermagic", { in: ".modinfo" }, "");
		return;
	}
	// With checksums, the release does not count (same_magic).
	const hasVersions = file.sectionNamed("__versions") !== undefined;
	const rest = (text: string): string => (hasVersions ? text.slice(text.indexOf(" ")) : text);
	if (kernel.vermagic !== undefined && rest(magic) !== rest(kernel.vermagic)) {
		const dmesg = `${file.name}: version magic '${magic}' should be '${kernel.vermagic}'`;
		found.add("vermagic", { in: ".modinfo" }, `vermagic is '${magic}'`, dmesg);
	}
	const release = kernel.vermagic?.split(" ")[0] ?? core?.release;
	if (release === undefined || magic.split(" ")[0] === release) return;
	const what = `it was compiled for ${magic.split(" ")[0]}, not for ${release}`;
	if (hasVersions) found.add("other-kernel", { in: ".modinfo" }, what);
	else if (kernel.vermagic === undefined) {
		found.add("vermagic", { in: ".modinfo" }, what, `${file.name}: version magic '${magic}' should be '${release} …'`);
	}
}

function checkLicense({ file, found, enables }: Subject): void {
	const license = file.modinfo.get("license")?.[0];
	if (!enables || (license !== undefined && license_is_gpl_compatible(license))) return;
	const what = license === undefined ? "there is no licence in .modinfo" : `the licence is '${license}'`;
	found.add("not-gpl", { in: ".modinfo" }, what, `${file.name}: Unknown symbol klp_enable_patch (err -2)`);
}

/** simplify_symbols(). */
function checkSymbols({ file, found, kernel }: Subject): void {
	const imported = new Set(file.modinfo.get("import_ns") ?? []);
	const gpl = license_is_gpl_compatible(file.modinfo.get("license")?.[0] ?? "");
	for (const { name, section, binding, index } of file.object.symbols) {
		if (section === SHN_COMMON && !name.startsWith("__gnu_lto")) {
			found.add(
				"common-symbol",
				{ in: name },
				`'${name}' is a common symbol`,
				`${file.name}: please compile with -fno-common`,
			);
		}
		if (section !== SHN_UNDEF || index === 0 || name === "") continue;
		const unknown = `${file.name}: Unknown symbol ${name} (err -2)`;
		if (name.startsWith(".klp.sym.")) {
			found.add("unconverted-symbol", { in: name }, `'${name}' is undefined`, unknown);
			continue;
		}
		if (kernel.exports === undefined || binding === "weak") continue;
		const entry = kernel.exports.get(name);
		if (entry === undefined || (entry.gplOnly && !gpl)) {
			const why = entry === undefined ? "is not exported by the given kernel" : "is exported to GPL modules only";
			found.add("unknown-symbol", { in: name }, `'${name}' ${why}`, unknown);
		} else if (entry.namespace !== undefined && !imported.has(entry.namespace)) {
			const dmesg = `${file.name}: module uses symbol (${name}) from namespace ${entry.namespace}, but does not import it.`;
			found.add("symbol-namespace", { in: name }, `'${name}' is in the namespace ${entry.namespace}`, dmesg);
		}
	}
	if (kernel.exports === undefined) {
		found.notLookedAt("whether the kernel exports the symbols that it uses: give --against Module.symvers");
	} else found.lookedAt("exported symbols");
}

/** check_version(), for each entry of `__versions`. */
function checkVersions({ file, found, kernel }: Subject): void {
	const section = file.sectionNamed("__versions");
	if (section === undefined) return;
	if (kernel.exports === undefined || ![...kernel.exports.values()].some(({ crc }) => crc !== undefined)) {
		found.notLookedAt("symbol versions (CRCs): give --against Module.symvers");
		return;
	}
	for (let offset = 0; offset + VERSION.size <= section.size; offset += VERSION.size) {
		const name = file.text({ section: section.index, offset: offset + VERSION.name });
		const crc = Number(file.number({ section: section.index, offset }, 4));
		const wanted = name === undefined ? undefined : kernel.exports.get(name)?.crc;
		if (wanted === undefined || wanted === crc) continue;
		const what = `'${name}' has the version 0x${crc.toString(16)}, in the given kernel 0x${wanted.toString(16)}`;
		found.add("symbol-version", { in: name! }, what, `${file.name}: disagrees about version of symbol ${name}`);
	}
	found.lookedAt("symbol versions");
}

/** apply_relocations(): types, places that are not zero, livepatch symbols. */
function checkRelocations({ file, found }: Subject): void {
	const places = new Map<number, Set<number>>();
	const seenIn = (section: number): Set<number> => {
		const seen = places.get(section) ?? new Set<number>();
		places.set(section, seen);
		return seen;
	};
	for (const { target, relocations } of file.object.klpRelocations) {
		for (const relocation of relocations) checkRelocation({ file, found }, target, relocation, seenIn(target));
	}
	for (const section of file.object.sections) {
		const seen = seenIn(section.index);
		for (const relocation of section.relocations) checkRelocation({ file, found }, section.index, relocation, seen);
		for (const { symbol, offset } of section.relocations) {
			if (!symbol.livepatch) continue;
			const where = `${section.name}+0x${offset.toString(16)}`;
			found.add("reloc-klp-symbol", { in: where }, `the relocation uses '${symbol.name}'`);
		}
	}
}

function checkRelocation(
	{ file, found }: Pick<Subject, "file" | "found">,
	section: number,
	{ type, offset }: ElfRelocation,
	seen: Set<number>,
): void {
	const where = file.describe({ section, offset });
	const size = KNOWN_TYPES.get(type);
	if (size === undefined) {
		const dmesg = `${file.name}: Unknown rela relocation: ${type}`;
		found.add("relocation-type", { in: where }, `a relocation of type ${relocationName(type)}`, dmesg);
		return;
	}
	if (size === 0) return;
	const twice = seen.has(offset);
	seen.add(offset);
	if (!twice && file.number({ section, offset }, size) === 0n) return;
	const what = twice ? "two relocations have the same place" : "the place of a relocation is not zero";
	const dmesg = `x86/modules: Invalid relocation target, existing value is nonzero for type ${type}, loc …, val …`;
	found.add("relocation-nonzero", { in: where }, what, dmesg);
}
