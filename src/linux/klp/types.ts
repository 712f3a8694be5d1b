import { declareState } from "../../base/index.js";
import type { PendingRelocation } from "../../elf/index.js";
import type { Kaddr } from "../../memory/index.js";
import type { ftrace_ops } from "../ftrace/index.js";
import { type Kernel, list_head } from "../lib/index.js";
import { type FieldValues, textOf } from "./fields.js";

/** Task patch states (include/linux/livepatch.h). */
export const KLP_TRANSITION_IDLE = -1;
export const KLP_TRANSITION_UNPATCHED = 0;
export const KLP_TRANSITION_PATCHED = 1;

/** `PATCHED`, `UNPATCHED` or `IDLE`. */
export function patchStateName(state: number): "IDLE" | "UNPATCHED" | "PATCHED" {
	if (state === KLP_TRANSITION_IDLE) return "IDLE";
	return state === KLP_TRANSITION_PATCHED ? "PATCHED" : "UNPATCHED";
}

export const MODULE_NAME_LEN = 56;
export const KSYM_NAME_LEN = 512;

/** A module, with the fields that livepatch and the module loader use. */
export interface module {
	readonly name: string;
	/** MODULE_INFO(livepatch, "Y"). */
	readonly livepatch: boolean;
	/** klp_module_coming() has been called for it, klp_module_going() has not. */
	klp_alive: boolean;
	/** Number of holders: rmmod needs 0. */
	refcount: number;
	/** Relocations that are applied when their object is patched (klp_info). */
	readonly klpRelocations: readonly PendingRelocation[];
}

/** struct klp_func. External fields first. */
export class klp_func {
	static readonly state = declareState("klp_func", {
		fields: "all",
		apart: { field: "fields", text: (func: klp_func) => `${func.new_name} ${textOf(func.fields)}` },
	});

	readonly old_name: string;
	new_func: Kaddr;
	readonly old_sympos: number;
	/** Values for the fields that replace designs add. Only the design reads them (Field.of). */
	fields: FieldValues;

	old_func: Kaddr = 0;
	readonly stack_node: list_head<klp_func> = new list_head<klp_func>(this);
	old_size = 0;
	new_size = 0;
	readonly nop: boolean;
	patched = false;
	transition = false;
	/** A number for Design.sees(), defined by the design. A plain field, because the handler reads it. */
	mark = 0;
	/** Name of the new function, for reports. */
	readonly new_name: string;
	/** The kobject is in sysfs. */
	in_sysfs = false;
	/** Freed: no code may read it any more (checked by the explorer). */
	freed = false;

	constructor(external: {
		old_name: string;
		new_func: Kaddr;
		new_name: string;
		old_sympos?: number;
		fields?: FieldValues | undefined;
		nop?: boolean;
	}) {
		this.old_name = external.old_name;
		this.new_func = external.new_func;
		this.new_name = external.new_name;
		this.old_sympos = external.old_sympos ?? 0;
		this.fields = external.fields ?? {};
		this.nop = external.nop ?? false;
	}
}

/**
 * True if both are the same function by name and position; position 0 means "the only one", which is also the first.
 */
export function sameFunction(a: klp_func, b: klp_func): boolean {
	return a.old_name === b.old_name && (a.old_sympos || 1) === (b.old_sympos || 1);
}

/** struct klp_callbacks. A pre_patch that returns non-zero refuses the patch. Callbacks may sleep: they are kernel code. */
export interface klp_callbacks {
	pre_patch?(obj: klp_object): Kernel<number>;
	post_patch?(obj: klp_object): Kernel<void>;
	pre_unpatch?(obj: klp_object): Kernel<void>;
	post_unpatch?(obj: klp_object): Kernel<void>;
}

/** struct klp_object. `name` undefined stands for NULL: vmlinux. */
export class klp_object {
	static readonly state = declareState("klp_object", { fields: "all" });

	readonly name: string | undefined;
	readonly funcs: klp_func[];
	readonly callbacks: klp_callbacks;

	/** Its struct klp_object in guest memory, if a C module has it. */
	readonly address: Kaddr | undefined;
	mod: module | undefined = undefined;
	readonly dynamic: boolean;
	patched = false;
	in_sysfs = false;
	/** callbacks.post_unpatch_enabled: pre_patch succeeded. */
	callbacks_enabled = false;

	constructor(external: {
		name: string | undefined;
		funcs: klp_func[];
		callbacks?: klp_callbacks;
		dynamic?: boolean;
		address?: Kaddr;
	}) {
		this.name = external.name;
		this.funcs = external.funcs;
		this.callbacks = external.callbacks ?? {};
		this.dynamic = external.dynamic ?? false;
		this.address = external.address;
	}

	/** `vmlinux` or the module's name, as sysfs and messages show it. */
	get label(): string {
		return this.name ?? "vmlinux";
	}
}

/** struct klp_state. */
export interface klp_state {
	readonly id: bigint;
	readonly version: number;
	/** Its struct klp_state in guest memory, if a C module has it: its `data` exists only there. */
	readonly address?: Kaddr;
}

/** struct klp_patch. */
export class klp_patch {
	static readonly state = declareState("klp_patch", {
		fields: "all",
		apart: { field: "fields", text: (patch: klp_patch) => `${patch.name} ${textOf(patch.fields)}` },
	});

	readonly mod: module;
	readonly objs: readonly klp_object[];
	readonly states: readonly klp_state[];
	/** Its struct klp_patch in guest memory, if a C module has it. */
	readonly address: Kaddr | undefined;
	/** Values for the fields that replace designs add. Only the design reads them (Field.of). */
	fields: FieldValues;

	/** obj_list: the static objects, then the dynamic ones that nops needed. */
	obj_list: klp_object[] = [];
	enabled = false;
	forced = false;
	/** The kobject is in sysfs. */
	in_sysfs = false;
	/** Called at the end of klp_free_patch_finish(). */
	freed = false;

	constructor(external: {
		mod: module;
		objs: readonly klp_object[];
		states?: readonly klp_state[];
		fields?: FieldValues | undefined;
		address?: Kaddr;
	}) {
		this.mod = external.mod;
		this.objs = external.objs;
		this.states = external.states ?? [];
		this.address = external.address;
		this.fields = external.fields ?? {};
	}

	get name(): string {
		return this.mod.name;
	}

	/** klp_for_each_object, klp_for_each_func in one. */
	*funcs(): Generator<klp_func, void, void> {
		for (const obj of this.obj_list) yield* obj.funcs;
	}
}

/** struct klp_ops: the data of one old function. The `owner` of the ftrace_ops is this object. */
export class klp_ops {
	static readonly state = declareState("klp_ops", { fields: "all" });

	readonly func_stack = new list_head<klp_func>();
	fops!: ftrace_ops<klp_ops>;
	readonly old_func: Kaddr;
	/** Freed: no code may read it any more (checked by the explorer). */
	freed = false;

	constructor(old_func: Kaddr) {
		this.old_func = old_func;
	}
}
