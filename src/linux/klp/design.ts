import type { Kaddr, Memory } from "../../memory/index.js";
import type { Ftrace, TextPoke } from "../ftrace/index.js";
import type { Dmesg, FaultInjection, Kallsyms, Kernel, mutex, Printer } from "../lib/index.js";
import type { CpuHotplug, Sched, task_struct, Unwinder, Workqueue } from "../sched/index.js";
import type { Field } from "./fields.js";
import type { HandlerRules } from "./handler.js";
import type { KlpObserver } from "./livepatch.js";
import type { Release } from "./release.js";
import type { klp_func, klp_object, klp_ops, klp_patch, module } from "./types.js";

/** The parts of the kernel that livepatch calls, and two numbers. */
export interface KlpParts {
	readonly memory: Memory;
	readonly dmesg: Dmesg;
	readonly observers: Iterable<KlpObserver>;
	readonly faults: FaultInjection;
	readonly sched: Sched;
	readonly hotplug: CpuHotplug;
	readonly workqueue: Workqueue;
	readonly unwinder: Unwinder;
	readonly kallsyms: Kallsyms;
	/** All loaded modules by name. */
	readonly modules: ReadonlyMap<string, module>;
	readonly text_poke: TextPoke;
	readonly ftrace: Ftrace;
	/** The gate that trampolines call. */
	readonly klp_ftrace_handler_address: Kaddr;
	/** Jiffies in a second. */
	readonly HZ: number;
	readonly release: Release;
	/** CONFIG_HAVE_RELIABLE_STACKTRACE; without it no task can be switched from outside. */
	readonly klp_have_reliable_stack: boolean;
}

/**
 * The core as its own parts and the replace designs see it: what core.h, patch.h and transition.h of kernel/livepatch declare. Each
 * member is documented where it is defined.
 */
export interface Core {
	readonly env: KlpParts;
	readonly design: Design;
	readonly print: Printer;
	readonly klp_mutex: mutex;
	/** All patches in use, in the order they were enabled. */
	readonly klp_patches: readonly klp_patch[];
	readonly patching: PatchCore;
	readonly transition: TransitionCore;

	/** The entry that a task in `patch_state` takes; undefined: the original. */
	select(ops: klp_ops, patch_state: number): klp_func | undefined;
	invalidRead(what: string): void;
	klp_is_object_loaded(obj: klp_object): boolean;
	klp_find_object_symbol(objname: string | undefined, name: string, sympos: number): Kaddr | undefined;
	klp_init_object_loaded(patch: klp_patch, obj: klp_object): number;
	klp_pre_patch_callback(obj: klp_object): Kernel<number>;
	klp_post_patch_callback(obj: klp_object): Kernel<void>;
	klp_pre_unpatch_callback(obj: klp_object): Kernel<void>;
	klp_post_unpatch_callback(obj: klp_object): Kernel<void>;
	__klp_disable_patch(patch: klp_patch): Kernel<number>;
	klp_unpatch_replaced_patches(new_patch: klp_patch): Kernel<void>;
	klp_discard_nops(patch: klp_patch): Kernel<void>;
	klp_free_patch_async(patch: klp_patch): void;
	klp_free_replaced_patches_async(new_patch: klp_patch): void;
}

/** patch.h */
export interface PatchCore {
	/** klp_ops, keyed by the address of the old function. */
	readonly klp_ops: ReadonlyMap<Kaddr, klp_ops>;
	klp_find_ops(old_func: Kaddr): klp_ops | undefined;
	klp_patch_object(obj: klp_object): Kernel<number>;
	klp_unpatch_object(obj: klp_object): Kernel<void>;
	klp_unpatch_objects(patch: klp_patch): Kernel<void>;
}

/** transition.h */
export interface TransitionCore {
	readonly klp_transition_patch: klp_patch | undefined;
	readonly klp_target_state: number;
	readonly klp_sched_try_switch_key: boolean;
	klp_check_stack_func(func: klp_func, entries: readonly number[]): boolean;
	klp_synchronize_transition(): Kernel<void>;
	klp_reverse_transition(): Kernel<void>;
	klp_force_transition(): Kernel<void>;
}

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
