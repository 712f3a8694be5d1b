import { type ElfObject, SHN_UNDEF } from "../../elf/index.js";
import type { KernelCore } from "../../linux/klp-c/index.js";

const WIDTH = 80;
const SHF_ALLOC = 2;

/** Names of an object's global symbols, sorted: those that it defines, without __pfx_NAME (the padding before NAME), and those that it needs. */
function symbolsOf({ symbols }: ElfObject): { provides: string[]; needs: string[] } {
	const named = symbols.filter(
		({ name, binding, type }) => name !== "" && !name.startsWith("__pfx_") && binding !== "local" && type !== "section",
	);
	const names = (undefinedOnes: boolean) =>
		named
			.filter(({ section }) => (section === SHN_UNDEF) === undefinedOnes)
			.map(({ name }) => name)
			.sort();
	return { provides: names(false), needs: names(true) };
}

/** Sections that are loaded, with their sizes in bytes. */
function sectionsOf({ sections }: ElfObject): { name: string; size: number }[] {
	return sections
		.filter(({ flags, size }) => (flags & SHF_ALLOC) !== 0 && size > 0)
		.map(({ name, size }) => ({ name, size }));
}

/** For --json. */
export function kernelCoreJson(core: KernelCore): object {
	const layout = Object.fromEntries([...core.layout.entries.keys()].map((name) => [name, core.layout.constant(name)]));
	return { schema: 1, ...core.info, sections: sectionsOf(core.object), ...symbolsOf(core.object), layout };
}

/** For people, in 80 columns. */
export function renderKernelCore({ info, layout, object }: KernelCore): string {
	const { provides, needs } = symbolsOf(object);
	const config = Object.entries(info.config).map(([name, value]) => `${name.replace(/^CONFIG_/, "")}=${value}`);
	const patches = info.patches.flatMap(({ name, sha256, files }) => [
		`${name}  sha256 ${short(sha256)}`,
		...wrapped(files),
	]);
	return [
		`${object.fileName}: kernel/livepatch of Linux ${info.release}`,
		...part("compiler", [info.compiler]),
		...part("patches", patches.length === 0 ? ["none"] : patches),
		...part("configuration", wrapped(config)),
		...part(
			"files, and the start of their sha256",
			table(Object.entries(info.sources).map(([name, hash]) => [name, short(hash)])),
		),
		...part("sections, in bytes", table(sectionsOf(object).map(({ name, size }) => [name, String(size)]))),
		...part(`needs ${needs.length} symbols`, wrapped(needs)),
		...part(`provides ${provides.length} symbols`, wrapped(provides)),
		...part(
			`layout, ${layout.entries.size} entries`,
			table([...layout.entries.keys()].map((name) => [name, String(layout.constant(name))])),
		),
		"",
	].join("\n");
}

const short = (hash: string) => hash.slice(0, 12);

function part(title: string, lines: readonly string[]): string[] {
	return ["", title, ...lines.map((line) => `  ${line}`)];
}

/** Two columns. */
function table(rows: readonly (readonly [string, string])[]): string[] {
	const width = Math.max(0, ...rows.map(([name]) => name.length));
	return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`);
}

/** Words in lines that, indented by two, fit the width. */
function wrapped(words: readonly string[]): string[] {
	const lines: string[] = [];
	for (const word of words) {
		const last = lines.at(-1);
		if (last !== undefined && last.length + 1 + word.length <= WIDTH - 2) lines[lines.length - 1] = `${last} ${word}`;
		else lines.push(word);
	}
	return lines;
}
