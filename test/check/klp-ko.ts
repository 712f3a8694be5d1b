/** Livepatch modules whose replacement has livepatch relocations, as klp-convert makes them. */
import { type ElfEdit, editElf } from "./edit-elf.js";
import { type KoOptions, ko } from "./ko.js";

export const VMLINUX_SECTION = ".klp.rela.vmlinux..text.new_foo";
export const LIVEPATCH = 0x100000;
export const ALLOC = 2;

/** `new_foo` in a section of its own, with one call of a livepatch symbol. */
export const user = (symbol: string): string => `
extern long wanted(long) __asm__("\\".klp.sym.${symbol}\\"");
__attribute__((no_instrument_function, __section__(".text.new_foo"))) noinline long new_foo(long x) { return wanted(x) + 1; }`;

/** What klp-convert does: the relocations of `new_foo` become those of an object. */
const convert =
	(name: string, more: (elf: ElfEdit) => void = () => {}) =>
	(elf: ElfEdit): void => {
		const section = elf.section(".rela.text.new_foo");
		section.name = name;
		section.flags |= LIVEPATCH | ALLOC;
		elf.moveSymbols(".klp.sym.", 0xff20);
		more(elf);
	};

/** A module whose `new_foo` has a relocation for an object. */
export function klpKo(symbol: string, section: string, options: KoOptions = {}, more?: (elf: ElfEdit) => void) {
	const { name, bytes } = ko({ code: user(symbol), ...options });
	return { name, bytes: editElf(bytes, convert(section, more)) };
}
