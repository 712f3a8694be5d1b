import {
	type ElfObject,
	type ElfRelocation,
	type ElfSymbol,
	type KlpRelocationSection,
	SHN_LIVEPATCH,
	SHN_UNDEF,
} from "./types.js";

/**
 * `.klp.sym.OBJECT.NAME,SYMPOS` (Documentation/livepatch/module-elf-format.rst). Names that begin with `.klp.sym.rela.` have another form,
 * or none: there is no object called "rela".
 */
export const KLP_SYMBOL = /^\.klp\.sym\.(?!rela\.)([^.]{1,55})\.([^,]{1,511}),(\d+)$/;

/**
 * `.klp.sym.rela.PATCHED.OBJECT.NAME,SYMPOS`, the name in the tools of some distributions: PATCHED is the object that
 * must be loaded
 * before the relocation is applied, OBJECT has the symbol.
 */
const KLP_RELA_SYMBOL = /^\.klp\.sym\.rela\.([^.]{1,55})\.([^.]{1,55})\.([^,\d][^,]{0,510}),(\d+)$/;

/**
 * A wanted symbol: the object whose loading applies its relocations, and its name in the form that the kernel reads.
 */
function wanted(name: string): { patched: string; name: string } | undefined {
	const [, patched, object, symbol, position] = KLP_RELA_SYMBOL.exec(name) ?? [];
	if (patched !== undefined) return { patched, name: `.klp.sym.${object}.${symbol},${position}` };
	const match = KLP_SYMBOL.exec(name);
	return match === null ? undefined : { patched: match[1]!, name };
}

/**
 * Changes an object as klp-convert does for a livepatch module: relocations against undefined symbols with the name
 * `.klp.sym.OBJECT.NAME,SYMPOS` move to sections `.klp.rela.OBJECT.SECTION`, and the symbols to SHN_LIVEPATCH. So C
 * code can name a
 * static function of another module: `extern long f(long) __asm__("\".klp.sym.some_mod.f,1\"");`
 */
export function klpConvert(object: ElfObject): ElfObject {
	const symbols = new Map<number, { readonly symbol: ElfSymbol; readonly patched: string }>();
	for (const symbol of object.symbols) {
		const found = symbol.section === SHN_UNDEF ? wanted(symbol.name) : undefined;
		if (found === undefined) continue;
		const converted = { ...symbol, name: found.name, section: SHN_LIVEPATCH, livepatch: true };
		symbols.set(symbol.index, { symbol: converted, patched: found.patched });
	}
	if (symbols.size === 0) return object;
	const moved: KlpRelocationSection[] = [];
	const sections = object.sections.map((section) => {
		const kept: ElfRelocation[] = [];
		const taken = new Map<string, ElfRelocation[]>();
		for (const relocation of section.relocations) {
			const found = symbols.get(relocation.symbol.index);
			if (found === undefined) kept.push(relocation);
			else {
				const group = taken.get(found.patched);
				const converted = { ...relocation, symbol: found.symbol };
				if (group === undefined) taken.set(found.patched, [converted]);
				else group.push(converted);
			}
		}
		for (const [objname, relocations] of taken) {
			const name = `.klp.rela.${objname}.${section.name}`;
			moved.push({ name, objname, target: section.index, relocations });
		}
		return { ...section, relocations: kept };
	});
	return {
		...object,
		sections,
		symbols: object.symbols.map((symbol) => symbols.get(symbol.index)?.symbol ?? symbol),
		klpRelocations: [...object.klpRelocations, ...moved],
	};
}
