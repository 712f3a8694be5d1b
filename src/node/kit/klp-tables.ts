import type { ElfObject, ElfRelocation, ElfSection } from "../../elf/index.js";

/** A row of a struct klp_func in C. */
export interface TableFunc {
	/** `vmlinux`, or a module. */
	readonly object: string;
	readonly old_name: string;
	readonly new_func: string;
}

const R_X86_64_64 = 1;
const SHF_STRINGS = 0x20;
const POINTER = 8;

/**
 * The functions that a livepatch in C replaces, as far as its tables are there at compile time. `old_name` and `new_func` are the first two
 * members of struct klp_func, `name` and `funcs` those of struct klp_object: two pointers beside each other, which relocations fill.
 */
export function klpFuncsOf(object: ElfObject): TableFunc[] {
	return object.sections.flatMap((section) => {
		const pointers = pointersOf(section);
		return [...pointers.entries()].flatMap(([offset, first]) => {
			const old_name = stringAt(object, first);
			const second = pointers.get(offset + POINTER);
			const new_func = second === undefined ? undefined : functionAt(object, second);
			if (old_name === undefined || new_func === undefined) return [];
			return [{ object: klpObjectOf(object, section, offset), old_name, new_func }];
		});
	});
}

function pointersOf({ relocations }: ElfSection): ReadonlyMap<number, ElfRelocation> {
	const pointers = relocations.filter(({ type }) => type === R_X86_64_64);
	return new Map(pointers.map((relocation) => [relocation.offset, relocation]));
}

/** The section and the offset that a relocation points to. */
function targetOf({ symbol, addend }: ElfRelocation): { readonly section: number; readonly offset: number } {
	return { section: symbol.section, offset: symbol.value + Number(addend) };
}

function stringAt({ sections }: ElfObject, relocation: ElfRelocation): string | undefined {
	const { section, offset } = targetOf(relocation);
	const strings = sections[section];
	if (strings === undefined || (strings.flags & SHF_STRINGS) === 0) return undefined;
	const end = strings.data.indexOf(0, offset);
	const text = new TextDecoder().decode(strings.data.subarray(offset, end));
	return /^[A-Za-z_.$][\w.$]*$/.test(text) ? text : undefined;
}

function functionAt({ symbols }: ElfObject, relocation: ElfRelocation): string | undefined {
	const { section, offset } = targetOf(relocation);
	return symbols.find((one) => one.type === "func" && one.section === section && one.value === offset)?.name;
}

/** The object of a row: the struct klp_object whose `funcs` points to the table that the row is in. */
function klpObjectOf(object: ElfObject, table: ElfSection, row: number): string {
	let found = { start: -1, name: "vmlinux" };
	for (const section of object.sections) {
		const pointers = pointersOf(section);
		for (const [offset, funcs] of pointers) {
			const target = targetOf(funcs);
			if (target.section !== table.index || target.offset > row || target.offset <= found.start) continue;
			const name = pointers.get(offset - POINTER);
			found = { start: target.offset, name: (name && stringAt(object, name)) ?? "vmlinux" };
		}
	}
	return found.name;
}
