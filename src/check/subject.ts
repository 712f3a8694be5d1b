import type { KernelLayout } from "../linux/klp-c/index.js";
import type { Findings } from "./findings.js";
import type { KernelFacts } from "./kernel.js";
import type { ModuleFile } from "./module-file.js";
import type { Name, Patch, PatchFunc, PatchObject } from "./patch.js";
import type { Place } from "./types.js";

/** What the checks look at. */
export interface Subject {
	readonly file: ModuleFile;
	/** The module calls klp_enable_patch(). */
	readonly enables: boolean;
	/** `livepatch=` is in .modinfo: its value does not matter (check_modinfo_livepatch). */
	readonly isLivepatch: boolean;
	readonly patches: readonly Patch[];
	readonly kernel: KernelFacts;
	/** The layout of the kernel that shall load it; undefined: not given, only the usual one is known. */
	readonly core: KernelLayout | undefined;
	/** MODULE_NAME_LEN, KSYM_NAME_LEN: with the NUL. */
	readonly limits: { readonly moduleName: number; readonly symbolName: number };
	readonly found: Findings;
}

/** The name of an object for people. */
export function objectName(name: Name): string {
	if (name.kind === "unset") return "vmlinux";
	return name.kind === "text" ? name.text : "(no text)";
}

export function funcName({ oldName, sympos }: PatchFunc): string {
	const name = oldName.kind === "text" ? oldName.text : oldName.kind === "unset" ? "(null)" : "(no text)";
	return `${name},${sympos === 0 ? 1 : sympos}`;
}

export function placeOf(object: PatchObject, func?: PatchFunc): Place {
	return { object: objectName(object.name), ...(func !== undefined && { func: funcName(func) }) };
}

/** Each function of the livepatches with its object. */
export function* functionsOf({ patches }: Subject): Generator<{ patch: Patch; object: PatchObject; func: PatchFunc }> {
	for (const patch of patches) {
		for (const object of patch.objects ?? []) {
			for (const func of object.funcs ?? []) yield { patch, object, func };
		}
	}
}
