import type { KernelFacts, KernelSymbol } from "./kernel.js";

/** The answer of klp_find_object_symbol(). */
export type Lookup =
	| { readonly kind: "found"; readonly symbol: KernelSymbol }
	/** `fault`: the reason, as part of the name of a kind. */
	| {
			readonly kind: "refused";
			readonly fault: "missing" | "ambiguous" | "position";
			readonly what: string;
			readonly dmesg: string;
	  }
	| { readonly kind: "unknown"; readonly why: string };

/** klp_find_object_symbol(): a symbol of an object by name and position, in what is known of the kernel. */
export function findSymbol({ objects }: KernelFacts, object: string, name: string, sympos: number): Lookup {
	const from = objects.get(object);
	if (from === undefined) {
		const file = object === "vmlinux" ? "a System.map or vmlinux" : `${object}.ko`;
		return { kind: "unknown", why: `names and positions in ${object}: give --against ${file}` };
	}
	const all = from.positions(name);
	const many = `${from.from} has ${all.length === 0 ? "no" : all.length} '${name}'`;
	if (all.length === 0) {
		const dmesg = `livepatch: symbol '${name}' not found in symbol table`;
		return { kind: "refused", fault: "missing", what: many, dmesg };
	}
	if (sympos === 0 && all.length > 1) {
		const shown = object === "vmlinux" ? "(null)" : object;
		const dmesg = `livepatch: unresolvable ambiguity for symbol '${name}' in object '${shown}'`;
		return { kind: "refused", fault: "ambiguous", what: `${many}: ${list(all)}`, dmesg };
	}
	const symbol = all[sympos === 0 ? 0 : sympos - 1];
	if (symbol !== undefined) return { kind: "found", symbol };
	const dmesg = `livepatch: symbol position ${sympos} for symbol '${name}' in object '${object}' not found`;
	return { kind: "refused", fault: "position", what: `${many}, and the position is ${sympos}`, dmesg };
}

/** Positions, addresses and source files of symbols, for people. */
function list(symbols: readonly KernelSymbol[]): string {
	const shown = symbols.slice(0, 8).map((symbol, index) => `${index + 1} is ${hexAddress(symbol)}${fileOf(symbol)}`);
	return shown.join(", ") + (symbols.length > shown.length ? ", …" : "");
}

const fileOf = ({ file }: KernelSymbol): string => (file === undefined ? "" : ` of ${file}`);

/** An address of a linked kernel; in a module's file `+0x70`, the offset in its section. */
export function hexAddress({ address, section }: KernelSymbol): string {
	if (section !== 0) return `+0x${address.toString(16)}`;
	return BigInt.asUintN(64, BigInt(address)).toString(16);
}
