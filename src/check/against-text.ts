import { KlpemuError } from "../base/index.js";
import { baseName, type Export, type KernelObject, type KernelSymbol, SymbolIndex } from "./kernel.js";

/** Symbol types that are not in kallsyms (scripts/mksysmap). */
const IGNORED_TYPES = "aNUw";
const LINE = /^([0-9a-f]{8,16}) ([A-Za-z?]) ([^\t ]+)(?:[\t ]+\[([^\]]+)\])?$/;
const SYMVERS_LINE = /^0x([0-9a-f]{8})\t([^\t]+)\t([^\t]+)\t(EXPORT_SYMBOL(?:_GPL)?)(?:\t([^\t]*))?$/;

/** True for a text that looks like Module.symvers. */
export function isSymvers(text: string): boolean {
	return SYMVERS_LINE.test(text.slice(0, text.indexOf("\n") < 0 ? undefined : text.indexOf("\n")));
}

/** Module.symvers: exported symbols with their checksums. Throws `CHECK_AGAINST`. */
export function parseSymvers(text: string, from: string): Map<string, Export> {
	const out = new Map<string, Export>();
	for (const [index, line] of text.split("\n").entries()) {
		if (line === "") continue;
		const [, crc, name, , kind, namespace] = SYMVERS_LINE.exec(line) ?? [];
		if (crc === undefined || name === undefined) throw badLine(from, index, line, "0xCRC name module EXPORT_SYMBOL");
		out.set(name, {
			gplOnly: kind === "EXPORT_SYMBOL_GPL",
			crc: Number.parseInt(crc, 16),
			...(namespace !== undefined && namespace !== "" && { namespace }),
		});
	}
	return out;
}

function badLine(from: string, index: number, line: string, wanted: string): KlpemuError {
	return new KlpemuError("CHECK_AGAINST", `'${line.slice(0, 60)}' is not '${wanted}'`, {
		where: `${from}:${index + 1}`,
		hint: "give a vmlinux, a System.map, /proc/kallsyms, a Module.symvers or a module's .ko",
	});
}

/**
 * System.map, or /proc/kallsyms with the symbols of modules: the objects in it, and the exported symbols if the text has them
 * (__ksymtab_*). Throws `CHECK_AGAINST`.
 */
export function parseSystemMap(
	text: string,
	from: string,
): { objects: KernelObject[]; exports: Map<string, Export> | undefined } {
	if (/The real System\.map is in/.test(text.slice(0, 200))) {
		throw new KlpemuError(
			"CHECK_AGAINST",
			"this System.map has no symbols: the distribution ships the real one apart",
			{
				where: from,
				hint: "Debian: linux-image-VERSION-dbg has it; or give /proc/kallsyms, read as root",
			},
		);
	}
	const vmlinux: KernelSymbol[] = [];
	const byObject = new Map([["vmlinux", vmlinux]]);
	let addresses = 0;
	for (const [index, line] of text.split("\n").entries()) {
		if (line === "") continue;
		const [, hex, type, name, module = "vmlinux"] = LINE.exec(line) ?? [];
		if (hex === undefined || type === undefined || name === undefined) {
			throw badLine(from, index, line, "ADDRESS TYPE NAME");
		}
		if (IGNORED_TYPES.includes(type)) continue;
		const address = Number(BigInt.asIntN(64, BigInt(`0x${hex}`)));
		if (address !== 0) addresses++;
		const symbols = byObject.get(module);
		const symbol = { name, address, section: 0, file: undefined };
		if (symbols === undefined) byObject.set(module, [symbol]);
		else symbols.push(symbol);
	}
	if (addresses === 0) {
		throw new KlpemuError("CHECK_AGAINST", "all addresses are 0", {
			where: from,
			hint: "read /proc/kallsyms as root, with kernel.kptr_restrict at 0 or 1",
		});
	}
	const objects = [...byObject].map(([name, symbols]) => {
		// vmlinux counts by address, a module in the order of its symbol table.
		const sorted = name === "vmlinux" ? [...symbols].sort((a, b) => a.address - b.address) : symbols;
		const index = new SymbolIndex(sorted);
		return objectOf(name, from, index);
	});
	return { objects, exports: exportsOf(vmlinux) };
}

function objectOf(name: string, from: string, index: SymbolIndex): KernelObject {
	return {
		name,
		from: baseName(from),
		positions: (wanted) => index.positions(wanted),
		clones: (wanted) => index.clones(wanted),
		code: undefined,
	};
}

/** Exported symbols by their entries in the symbol table; undefined if there are none in the list. */
export function exportsOf(symbols: readonly KernelSymbol[]): Map<string, Export> | undefined {
	// NaN if the list lacks them: no entry is GPL only then.
	const addressOf = (wanted: string) => symbols.find(({ name }) => name === wanted)?.address ?? Number.NaN;
	const [gplStart, gplEnd] = [addressOf("__start___ksymtab_gpl"), addressOf("__stop___ksymtab_gpl")];
	const out = new Map<string, Export>();
	for (const { name, address } of symbols) {
		if (!name.startsWith("__ksymtab_")) continue;
		const gplOnly = address >= gplStart && address < gplEnd;
		out.set(name.slice("__ksymtab_".length), { gplOnly });
	}
	return out.size === 0 ? undefined : out;
}
