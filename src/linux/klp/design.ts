import type { Kernel } from "../lib/index.js";
import type { task_struct } from "../sched/index.js";
import type { Core } from "./core.js";
import type { Field } from "./fields.js";
import type { HandlerRules } from "./handler.js";
import type { klp_func, klp_object, klp_patch } from "./types.js";

/** A file in /sys/kernel/livepatch/<patch>/ that a design adds or changes. `store` undefined: read-only. */
export interface PatchAttribute {
	show(patch: klp_patch): string;
	/** Runs under klp_mutex; 0 or a negative errno. */
	store?(klp: Core, patch: klp_patch, value: string): number;
}

/**
 * What distinguishes one replace design from another. The core has no `if (design === ...)`: it asks here. Each design is a
 * record of small decisions; `mainline` is the base that the others are written as changes of.
 */
export interface Design extends HandlerRules {
	readonly name: string;
	readonly title: string;
	/** Where it was proposed. */
	readonly source: string;
	/** The fields that it adds to struct klp_patch. */
	readonly fields: readonly Field[];
	/** The fields that it adds to struct klp_func. */
	readonly funcFields?: readonly Field[];
	/** klp_func.mark of a new entry; default 0. */
	readonly initialMark?: number;
	/** Attributes besides enabled, transition, force and stack_order. */
	readonly attributes: Readonly<Record<string, PatchAttribute>>;

	/** Is the new patch refused before anything was touched? 0 or a negative errno (klp_is_patch_compatible). */
	isCompatible(klp: Core, patch: klp_patch): number;
	/** Does klp_init_patch() call klp_add_nops()? */
	addsNops(patch: klp_patch): boolean;
	/** Does klp_add_nops() add a nop for `func` of `old` when the new patch lacks it? */
	needsNop(klp: Core, patch: klp_patch, old: klp_patch, obj: klp_object, func: klp_func): boolean;
	/** Does completion test patches for being replaced at all (`if (patch->replace)`)? */
	replacesOnCompletion(patch: klp_patch): boolean;
	/** Is `old`, an older patch, unpatched and freed when `patch` completes? */
	supersedes(patch: klp_patch, old: klp_patch): boolean;
	/** Does force mark `other` so that its module stays, when `patch` is the transition patch and is being enabled? */
	forceMarks(patch: klp_patch, other: klp_patch): boolean;

	/** Marks the funcs at the start of a transition to `target`; all tasks are in the other state already. */
	init_transition(klp: Core, patch: klp_patch, target: number): Kernel<void>;
	/** The first part of klp_complete_transition(): takes off func_stack what no task sees any more. */
	unpatch_invisible(klp: Core, patch: klp_patch, target: number): Kernel<void>;
	/** The second part: ends the transition of all funcs that init_transition marked. */
	clear_transition(klp: Core, patch: klp_patch): Kernel<void>;
	/** Functions that `task` must not have on its stack to switch: klp_check_stack_func() for all. First hit's old_name. */
	check_stack(klp: Core, patch: klp_patch, task: task_struct, entries: readonly number[]): string | undefined;

	/** Which enabled patch provides `old_func` once no transition is running: what the design promises. Undefined: none. */
	promise(enabled: readonly klp_patch[], old_func: number): klp_func | undefined;
}
