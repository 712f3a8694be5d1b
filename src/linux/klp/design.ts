import type { Kaddr, Memory } from "../../memory/index.js";
import type { Ftrace, TextPoke } from "../ftrace/index.js";
import type { Dmesg, FaultInjection, Kallsyms, Kernel, mutex, Printer } from "../lib/index.js";
import type { CpuHotplug, Sched, task_struct, Unwinder, Workqueue } from "../sched/index.js";
import type { DesignKeys } from "./fields.js";
import type { HandlerRules } from "./handler.js";
import type { KlpObserver } from "./livepatch.js";
import type { Release } from "./release.js";
import type { klp_func, klp_object, klp_ops, klp_patch, module } from "./types.js";

/** The parts of the kernel that livepatch calls, and two settings. */
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
	/** CONFIG_HAVE_RELIABLE_STACKTRACE; without it a task can only switch itself. */
	readonly klp_have_reliable_stack: boolean;
}

/**
 * The interface of the core for its own parts and for the replace designs: the declarations of core.h, patch.h and
 * transition.h of kernel/livepatch. Each member is documented at its definition.
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
 * The decisions in which replace designs differ. The core has no `if (design === ...)`: it calls these members. Each
 * design is a record of small decisions; `mainline` is the base that the others are written as changes of.
 */
export interface Design extends HandlerRules, DesignKeys {
	readonly title: string;
	/** Source: the mail or commit that proposed it. */
	readonly source: string;
	/** klp_func.mark of a new entry; default 0. */
	readonly initialMark?: number;
	/** Attributes besides enabled, transition, force and stack_order. */
	readonly attributes: Readonly<Record<string, PatchAttribute>>;

	/**
	 * Checks the new patch before any change. 0, or a negative errno: the patch is refused (klp_is_patch_compatible).
	 */
	isCompatible(klp: Core, patch: klp_patch): number;
	/** True if klp_init_patch() calls klp_add_nops(). */
	addsNops(patch: klp_patch): boolean;
	/** True if klp_add_nops() adds a nop for `func` of `old` when the new patch lacks it. */
	needsNop(klp: Core, patch: klp_patch, old: klp_patch, obj: klp_object, func: klp_func): boolean;
	/** True if completion checks which patches are replaced (`if (patch->replace)`). */
	replacesOnCompletion(patch: klp_patch): boolean;
	/** True if `old`, an older patch, is unpatched and freed when `patch` completes. */
	supersedes(patch: klp_patch, old: klp_patch): boolean;
	/**
	 * True if force marks `other` so that its module stays loaded. `patch` is the transition patch and is being
	 * enabled.
	 */
	forceMarks(patch: klp_patch, other: klp_patch): boolean;

	/** Marks the funcs at the start of a transition to `target`; all tasks are in the other state already. */
	init_transition(klp: Core, patch: klp_patch, target: number): Kernel<void>;
	/** The first part of klp_complete_transition(): removes from func_stack the entries that no task sees any more. */
	unpatch_invisible(klp: Core, patch: klp_patch, target: number): Kernel<void>;
	/** The second part: ends the transition of all funcs that init_transition marked. */
	clear_transition(klp: Core, patch: klp_patch): Kernel<void>;
	/**
	 * Checks the stack for functions that prevent `task` from switching: klp_check_stack_func() for all. Returns
	 * old_name of the first hit.
	 */
	check_stack(klp: Core, patch: klp_patch, task: task_struct, entries: readonly number[]): string | undefined;

	/**
	 * The promise of the design: the enabled patch that provides `old_func` while no transition is running. Undefined:
	 * none.
	 */
	promise(enabled: readonly klp_patch[], old_func: number): klp_func | undefined;
}
