import { cloneHint, nearest } from "../base/index.js";
import type { ElfObject } from "../elf/index.js";
import { kernelObjectOf } from "../linux/module/index.js";
import type { Machine } from "../machine/index.js";

/** Lines of dmesg about a name that the kernel has not found. */
const PATCHED = [
	/^livepatch: symbol '(.+)' not found in symbol table$/,
	/^livepatch: failed to find location for function '(.+)'$/,
	/^livepatch: symbol position \d+ for symbol '(.+)' in object '.+' not found$/,
	/^livepatch: unresolvable ambiguity for symbol '(.+)' in object '.+'$/,
];
const LINKED = [
	/: Unknown symbol (\S+)/,
	/undefined symbols? '([^']+)'/,
	/^livepatch: symbol (\S+) has an incorrectly formatted name$/,
];

/**
 * The probably meant names, for names that the kernel did not find: one sentence each. `objects`: those of each module of the
 * scenario.
 */
export function hintsFor(
	lines: readonly string[],
	machine: Machine,
	objects: ReadonlyMap<string, readonly ElfObject[]>,
): string[] {
	const hints = lines.flatMap((line) => {
		const depends = dependsHint(line, machine, objects);
		if (depends !== undefined) return [depends];
		const patched = wordIn(line, PATCHED);
		if (patched !== undefined) return patchedHint(patched, machine);
		const linked = wordIn(line, LINKED);
		return linked === undefined ? [] : linkedHint(linked, machine);
	});
	return [...new Set(hints)];
}

function wordIn(line: string, patterns: readonly RegExp[]): string | undefined {
	return patterns.map((pattern) => pattern.exec(line)?.[1]).find((word) => word !== undefined);
}

/** The modules that must be loaded before one that lacks a symbol, as modpost has noted them in the .ko. */
function dependsHint(
	line: string,
	{ modules }: Machine,
	objects: ReadonlyMap<string, readonly ElfObject[]>,
): string | undefined {
	const [, name] = /^(\w+): Unknown symbol /.exec(line) ?? [];
	const [object] = objects.get(name ?? "") ?? [];
	const missing = (object && kernelObjectOf(object)?.depends)?.filter((other) => !modules.has(other)) ?? [];
	return missing.length === 0
		? undefined
		: `${name} depends on ${missing.join(", ")}: insmod: ${missing[0]}.ko comes first`;
}

/** Hint for a function that a livepatch changes. */
function patchedHint(name: string, { kallsyms, ftrace }: Machine): string[] {
	const found = kallsyms.images.flatMap((image) => image.lookup(name).map(({ address }) => ({ image, address })));
	if (found.length > 1) {
		const list = found.map(({ image }) => image.name).join(", ");
		return [`there are ${found.length} functions '${name}' (${list}): say which one by its sympos, counted from 1`];
	}
	const [one] = found;
	if (one === undefined) {
		const known = kallsyms.images.flatMap(({ symbols }) => symbols.map((symbol) => symbol.name));
		return [cloneHint(name, known) ?? `no function is called '${name}'${didYouMean(name, known)}`];
	}
	if (ftrace.ftrace_location(one.address) !== 0) return [`'${name}' is a function of ${one.image.name}`];
	return [`'${name}' has no fentry site: only functions that are compiled with -mfentry can be patched`];
}

/** Hint for a symbol that a module links against. */
function linkedHint(name: string, { symbols, modules }: Machine): string[] {
	if (name.startsWith(".klp.sym.")) {
		return [
			`'${name}' is for klp-convert, or for the last step of klp-build: it makes .klp.rela.OBJECT.SECTION of such symbols`,
		];
	}
	const hidden = [...modules.values()].find(
		({ image }) => image.exports !== undefined && image.symbol(name) !== undefined,
	);
	if (hidden !== undefined) {
		return [`module '${hidden.name}' has '${name}' and does not export it: EXPORT_SYMBOL_GPL(${name}) does`];
	}
	// kernel_kobj stands for all that this file has; near a param_ops_ there is always some other function of parameters.
	const without = ![...symbols.names()].includes("kernel_kobj");
	const near = without && name.startsWith("param_ops_") ? "" : didYouMean(name, symbols.names());
	const bare = near === "" && without;
	return [
		`neither vmlinux, nor klpemu, nor a loaded module has a symbol '${name}'${near}`,
		...(bare
			? [
					"vmlinux is without asm/vmlinux/kernel.c, which has variables and functions of the kernel that modules in C use",
				]
			: []),
	];
}

function didYouMean(name: string, candidates: Iterable<string>): string {
	const near = nearest(name, candidates);
	return near === undefined ? "" : `: did you mean '${near}'?`;
}
