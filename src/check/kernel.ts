import type { WayToSleep } from "./sleeping.js";

/** A symbol of a kernel or module, as kallsyms has it. */
export interface KernelSymbol {
	readonly name: string;
	/** The address as a signed number: -2^64 is taken off, so that it is exact. In a module's file, the offset in its section. */
	readonly address: number;
	/** Section index in a module's file; 0 in a linked kernel. */
	readonly section: number;
	/** The source file that defines it, if it is local and the symbol table says so. */
	readonly file: string | undefined;
}

/** An object that a livepatch may patch, as a file describes it. */
export interface KernelObject {
	/** `vmlinux`, or a module's name. */
	readonly name: string;
	/** The file, without its folder. */
	readonly from: string;
	/** Symbols of a name in the order in which positions count; the first is position 1. */
	positions(name: string): readonly KernelSymbol[];
	/** All symbols that begin with `name.`: clones and pieces. */
	clones(name: string): readonly KernelSymbol[];
	/** Undefined: the file has no code. */
	readonly code: KernelCode | undefined;
}

/** The code of an object. */
export interface KernelCode {
	/** True if ftrace has a call site in the function, as ftrace_location() looks for it; undefined: not known. */
	hasCallSite(symbol: KernelSymbol): boolean | undefined;
	/** The shortest way by direct calls to a function that sleeps. */
	wayToSleep(symbol: KernelSymbol): WayToSleep | undefined;
	/** The function that its last instruction calls, if that is a call and the function ends behind it. */
	lastCall(symbol: KernelSymbol): string | undefined;
	/** True once there was more code than is searched: answers may be incomplete. */
	readonly isCut: boolean;
}

/** An exported symbol. */
export interface Export {
	readonly gplOnly: boolean;
	/** Undefined: not known. */
	readonly crc?: number;
	readonly namespace?: string;
}

/** What is known about the kernel that shall load the livepatch. */
export interface KernelFacts {
	readonly objects: ReadonlyMap<string, KernelObject>;
	/** Exported symbols; undefined: not known. */
	readonly exports: ReadonlyMap<string, Export> | undefined;
	/** Its vermagic, exactly; undefined: not known. */
	readonly vermagic: string | undefined;
}

/** The symbols of one object by name. */
export class SymbolIndex {
	readonly #byName = new Map<string, KernelSymbol[]>();
	/** By the name without its last parts: `foo.part.0` under `foo`. */
	readonly #clones = new Map<string, KernelSymbol[]>();

	/** `symbols`: in the order in which positions count. */
	constructor(symbols: Iterable<KernelSymbol>) {
		for (const symbol of symbols) {
			add(this.#byName, symbol.name, symbol);
			const dot = symbol.name.indexOf(".", 1);
			if (dot > 0) add(this.#clones, symbol.name.slice(0, dot), symbol);
		}
	}

	positions(name: string): readonly KernelSymbol[] {
		return this.#byName.get(name) ?? [];
	}

	clones(name: string): readonly KernelSymbol[] {
		return this.#clones.get(name) ?? [];
	}

	/** The symbols of all the names. */
	named(names: Iterable<string>): KernelSymbol[] {
		return [...names].flatMap((name) => this.positions(name));
	}
}

function add<K, V>(map: Map<K, V[]>, key: K, value: V): void {
	const list = map.get(key);
	if (list === undefined) map.set(key, [value]);
	else list.push(value);
}

/** The name of a file without its folder. */
export function baseName(path: string): string {
	return path.slice(path.lastIndexOf("/") + 1);
}
