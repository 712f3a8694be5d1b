import { groupBy } from "../../base/index.js";
import { KLP_SYMBOL, type PendingRelocation, relocationBytes, relocationName } from "../../elf/index.js";
import { hex } from "../../memory/index.js";
import { EINVAL, ENOEXEC } from "../lib/index.js";
import type { Core } from "./design.js";
import type { module } from "./types.js";

/** The address of a livepatch symbol, or a negative errno (klp_resolve_symbols, one symbol). */
function resolve(klp: Core, { symbol, objname }: PendingRelocation): bigint | number {
	if (!symbol.livepatch) {
		klp.print.pr_err(`symbol ${symbol.name} is not marked as a livepatch symbol`);
		return -EINVAL;
	}
	const [, sym_objname, sym_name, sympos] = KLP_SYMBOL.exec(symbol.name) ?? [];
	if (sym_objname === undefined) {
		klp.print.pr_err(`symbol ${symbol.name} has an incorrectly formatted name`);
		return -EINVAL;
	}
	const sym_vmlinux = sym_objname === "vmlinux";
	if (objname !== "vmlinux" && sym_vmlinux) {
		klp.print.pr_err(
			`invalid access to vmlinux symbol '${sym_name}' from module-specific livepatch relocation section`,
		);
		return -EINVAL;
	}
	const address = klp.klp_find_object_symbol(sym_vmlinux ? undefined : sym_objname, sym_name!, Number(sympos));
	return address === undefined ? -EINVAL : BigInt(address);
}

function same(a: Uint8Array, b: Uint8Array): boolean {
	return a.every((byte, index) => byte === b[index]);
}

/** __write_relocate_add() of arch/x86/kernel/module.c for one relocation: 0 or -ENOEXEC. */
function write(klp: Core, relocation: PendingRelocation, symbol: bigint, apply: boolean): number {
	const { env, print } = klp;
	const { type, addend, place } = relocation;
	const bytes = relocationBytes(type, { symbol, addend, place: BigInt(place) });
	const what = `${relocationName(type)} at ${hex(place)}`;
	if (bytes === undefined) {
		print.pr_err(`overflow or unknown type in relocation ${what}`);
		return -ENOEXEC;
	}
	const zeros = new Uint8Array(bytes.length);
	const [expected, value] = apply ? [zeros, bytes] : [bytes, zeros];
	if (!same(env.memory.read(place, bytes.length), expected)) {
		const why = apply ? "existing value is nonzero" : "existing value does not match expected value";
		print.pr_err(`x86/modules: Invalid relocation target, ${why} for ${what}`);
		return -ENOEXEC;
	}
	env.text_poke.text_poke_early(place, value);
	return 0;
}

/** The relocations of a livepatch module that are in one section, for one object. */
function sectionsOf(mod: module, objname: string): Iterable<PendingRelocation[]> {
	const ofObject = mod.klpRelocations.filter((relocation) => relocation.objname === objname);
	return groupBy(ofObject, ({ section }) => section).values();
}

/**
 * klp_apply_section_relocs() for all sections of one object; `vmlinux`: while the livepatch module is loaded. 0 or a
 * negative errno.
 */
export function klp_apply_relocs(klp: Core, mod: module, objname: string): number {
	for (const section of sectionsOf(mod, objname)) {
		const symbols: bigint[] = [];
		for (const relocation of section) {
			const address = resolve(klp, relocation);
			if (typeof address === "number") return address;
			symbols.push(address);
		}
		for (const [index, relocation] of section.entries()) {
			relocation.value = symbols[index];
			const ret = write(klp, relocation, symbols[index]!, true);
			if (ret !== 0) return ret;
		}
	}
	return 0;
}

/**
 * klp_clear_object_relocs(): sets the places to zero, so that they can be written again when the object is loaded
 * again.
 */
export function klp_clear_relocs(klp: Core, mod: module, objname: string): void {
	for (const section of sectionsOf(mod, objname)) {
		for (const relocation of section) {
			if (relocation.value === undefined || write(klp, relocation, relocation.value, false) !== 0) return;
		}
	}
}
