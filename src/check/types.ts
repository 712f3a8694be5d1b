import type { KindName, Weight } from "./kinds.js";

/** The part of the livepatch that a finding is about. */
export interface Place {
	/** `vmlinux`, or the name of a module. */
	readonly object?: string;
	/** A function, as `old_name,position`. */
	readonly func?: string;
	/** A section, symbol or function of the file. */
	readonly in?: string;
}

/** One thing that is wrong, or worth knowing. */
export interface Finding {
	readonly kind: KindName;
	readonly weight: Weight;
	readonly place: Place;
	/** What the file has; empty if the kind says all. */
	readonly what: string;
	/** The errno of the kernel, as `-EINVAL`; only for weight `refused`. */
	readonly errno?: string;
	/** The line that the kernel logs, in its own words. Many refusals are silent. */
	readonly dmesg?: string;
	readonly advice: string;
}

/** A function that the livepatch replaces. */
export interface FuncReport {
	readonly oldName: string | null;
	/** 0: the name must be unique in its object. */
	readonly sympos: number;
	/** The function that runs instead; null: none, or set at run time. */
	readonly newFunc: string | null;
	/** Address of the old function, as hexadecimal text; only with a file of the object, and only if the kernel would find it. */
	readonly oldAddress?: string;
	/** The source file that defines the old function, as the symbol table has it. */
	readonly oldFile?: string;
}

export interface ObjectReport {
	/** `vmlinux`, or the name of a module. */
	readonly name: string;
	readonly funcs: readonly FuncReport[];
	/** Names of the callbacks, by field; only those that are set. */
	readonly callbacks: Readonly<Record<string, string>>;
	/** Number of relocations that the kernel applies when it patches this object. */
	readonly relocations: number;
	/** What these relocations refer to: `object.symbol,position`. */
	readonly symbols: readonly string[];
}

export interface PatchReport {
	/** `klp_patch`: a structure in the file; `klp-build`, `kpatch`: made by the module's init function from a table. */
	readonly form: "klp_patch" | "klp-build" | "kpatch";
	/** null: set at run time. */
	readonly replace: boolean | null;
	readonly states: readonly { readonly id: number; readonly version: number }[];
	readonly objects: readonly ObjectReport[];
}

export interface ModuleReport {
	/** As the kernel names it. */
	readonly name: string;
	readonly livepatch: boolean;
	readonly license: string | null;
	readonly vermagic: string | null;
	readonly depends: readonly string[];
}

/** The whole result. This is what `--json` prints; fields may be added, none is changed or removed within a schema. */
export interface CheckReport {
	readonly schema: 1;
	readonly file: string;
	/** `refused`: the kernel does not load or enable it. `wrong`: it does, and something is wrong. `clean`: neither was found. */
	readonly verdict: "refused" | "wrong" | "clean";
	readonly module: ModuleReport;
	readonly patches: readonly PatchReport[];
	/** The heaviest first. */
	readonly findings: readonly Finding[];
	readonly lookedAt: readonly string[];
	readonly notLookedAt: readonly string[];
}
