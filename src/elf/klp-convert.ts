import {
	type ElfObject,
	type ElfRelocation,
	type ElfSymbol,
	type KlpRelocationSection,
	SHN_LIVEPATCH,
} from "./types.js";

/** `.klp.sym.OBJECT.NAME,SYMPOS` (Documentation/livepatch/module-elf-format.rst). */
export const KLP_SYMBOL = /^\.klp\.sym\.([^.]{1,55})\.([^,]{1,511}),(\d+)$/;

/**
 * What klp-convert does to an object before it is a livepatch module: relocations against undefined symbols that are called
 * `.klp.sym.OBJECT.NAME,SYMPOS` move to sections `.klp.rela.OBJECT.SECTION`, and the symbols to SHN_LIVEPATCH. So that C can name a
 * static function of another module: `extern long f(long) __asm__("\".klp.sym.some_mod.f,1\"");`
 */
export function klpConvert(object: ElfObject): ElfObject {
	const symbols = new Map(object.symbols.filter(isWanted).map((symbol) => [symbol.index, converted(symbol)]));
	if (symbols.size === 0) return object;
	const moved: KlpRelocationSection[] = [];
	const sections = object.sections.map((section) => {
		const [kept, taken]: ElfRelocation[][] = [[], []];
		for (const relocation of section.relocations) {
			const symbol = symbols.get(relocation.symbol.index);
			if (symbol === undefined) kept!.push(relocation);
			else taken!.push({ ...relocation, symbol });
		}
		for (const [objname, relocations] of byObject(taken!)) {
			const name = `.klp.rela.${objname}.${section.name}`;
			moved.push({ name, objname, target: section.index, relocations });
		}
		return { ...section, relocations: kept! };
	});
	return {
		...object,
		sections,
		symbols: object.symbols.map((symbol) => symbols.get(symbol.index) ?? symbol),
		klpRelocations: [...object.klpRelocations, ...moved],
	};
}

function isWanted(symbol: ElfSymbol): boolean {
	return symbol.section === 0 && KLP_SYMBOL.test(symbol.name);
}

function converted(symbol: ElfSymbol): ElfSymbol {
	return { ...symbol, section: SHN_LIVEPATCH, livepatch: true };
}

function byObject(relocations: readonly ElfRelocation[]): Map<string, ElfRelocation[]> {
	const groups = new Map<string, ElfRelocation[]>();
	for (const relocation of relocations) {
		const objname = KLP_SYMBOL.exec(relocation.symbol.name)![1]!;
		const group = groups.get(objname);
		if (group === undefined) groups.set(objname, [relocation]);
		else group.push(relocation);
	}
	return groups;
}
