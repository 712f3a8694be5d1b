import type { Kaddr } from "../../memory/index.js";
import type { Kernel } from "../lib/index.js";
import type { task_struct, work_struct } from "../sched/index.js";
import type { DesignKeys } from "./fields.js";
import type { HandlerAt, HandlerRules } from "./handler.js";
import type { klp_patch, module } from "./types.js";

/** Code that a call of a livepatched function runs instead of the original. A klp_func implements it. */
export interface Implementation {
	readonly new_name: string;
	readonly new_func: Kaddr;
	/** Bytes of code. */
	readonly new_size: number;
}

/** An entry of a func_stack. A klp_func implements it. */
export interface StackEntry extends Implementation {
	readonly old_name: string;
	/** The entry stands for the original function. */
	readonly nop: boolean;
}

/** /sys/kernel/livepatch. Paths are relative to it: `lp1/enabled`, `lp1/vmlinux/patched`. */
export interface LivepatchSysfs {
	/** Each readable file: path, and content without the newline at its end. */
	entries(): Iterable<[string, string]>;
	/** Every file and directory. */
	paths(): string[];
	/** Type and permission bits (S_IFDIR | 0755, 0644, ...); undefined: there is no such file. */
	mode(path: string): number | undefined;
	/** The content of a file without the newline at its end, or a negative errno. */
	read(path: string): string | number;
	/** A read(2) that runs code of the core: the content with its newline, or a negative errno. Undefined: {@link read} is all there is. */
	show?(path: string): Kernel<string | number>;
	/** A write(2) of the administrator: 0 or a negative errno. Takes klp_mutex. */
	write(path: string, value: string): Kernel<number>;
}

/**
 * Identifies the klp_func at which a handler is. Not the object itself, because a replay may create another object: two
 * klp_funcs with equal fields here are the same function.
 */
export interface EntryId {
	readonly patch: string;
	/** Index of the klp_object in its patch. */
	readonly object: number;
	readonly old_name: string;
	readonly old_sympos: number;
	/** Address of new_func; undefined: it is a nop. */
	readonly new_func: Kaddr | undefined;
}

/** Where a task is in klp_ftrace_handler(), between two reads that can race. Plain data, so that it outlives a restore. */
export interface HandlerPlace {
	/** The handler's last read. */
	readonly at: HandlerAt["at"];
	/** Guest address of the struct ftrace_ops. */
	readonly fops: Kaddr;
	/** The klp_func at which the handler is. */
	readonly func: EntryId | undefined;
	/** A value that the handler has read and that its next step depends on. */
	readonly flag: boolean | undefined;
}

/** One step of the handler. */
export interface HandlerStep {
	/** New place of the task; undefined: the handler has returned, or the task has read freed memory. */
	readonly place: HandlerPlace | undefined;
	/** For reports. */
	readonly title: string;
}

/** Events of a livepatch core for observers of the machine. Not part of the kernel. */
export interface KlpObserver {
	/** A patch is about to be enabled; no check has been made yet. */
	enable?(patch: klp_patch): void;
	/** A transition was initialised or reversed. `target`: KLP_TRANSITION_PATCHED or _UNPATCHED. */
	transition?(what: "init" | "reverse", patch: klp_patch, target: number): void;
	/**
	 * The kernel reads memory that is not a klp_func or klp_ops, or that is freed: a sentence that names the task and
	 * the read.
	 */
	invalidRead?(what: string): void;
}

/** Fields of tasks that a core which is guest code keeps in guest memory. */
export type GuestTaskField = "patch_state" | "thread_flags" | "trace_recursion" | "preempt_count";

/** A livepatch core that is guest code, for a host that watches each of its accesses. */
export interface CoreCode {
	contains(ip: Kaddr): boolean;
	/** Functions that other tasks wait for, so that they see nothing in between: task_call_func(). */
	readonly atomic: readonly Kaddr[];
	/** The task and field whose value is at an address. */
	taskField(address: Kaddr): readonly [task_struct, GuestTaskField] | undefined;
	/** The words whose changes begin and end a transition. */
	readonly transitionWords: readonly Kaddr[];
	/** Called when one of them has been written: tells observers of what has happened. True if a transition has ended. */
	tellObservers(): boolean;
	/** tasklist_lock is held. */
	readonly tasklistLocked: boolean;
	/** klp_update_patch_state(current) and __klp_sched_try_switch(), for tasks that run them on the Cpu. */
	readonly entries: Readonly<Record<"klp_update_patch_state" | "__klp_sched_try_switch", Kaddr>>;
	/** Address of a task's struct task_struct. */
	structOf(task: task_struct): Kaddr;
	/** From now on each task has per-CPU variables of its own. */
	giveOwnCpus(): void;
}

/**
 * The interface of the livepatch core (kernel/livepatch) for the rest of the machine, which does not depend on the core. There are two:
 * `Klp`, a transcription in TypeScript, and `CompiledLivepatch` (linux/klp-c), the kernel's own C in guest memory.
 *
 * Members that are kernel functions bear the kernel's name. A `Kernel<T>` is kernel code of `current`: the caller runs it, and
 * it may sleep at each point.
 */
export interface Livepatch {
	/** The replace design that the core follows. */
	readonly design: DesignKeys & { readonly title: string };
	/** The kernel of which a compiled core was made, `6.12.117+deb12-cloud-amd64`; undefined: the core in TypeScript. */
	readonly compiledFrom: string | undefined;

	// ---- loading, the administrator ----

	/**
	 * Called by a livepatch module's init, without locks: 0 or a negative errno. Takes klp_mutex. From here on `sysfs` shows the
	 * patch, until it is freed.
	 */
	klp_enable_patch(patch: klp_patch): Kernel<number>;
	/** Writes to files: disable, reverse, enable again, force. */
	readonly sysfs: LivepatchSysfs;

	// ---- modules that are loaded and unloaded ----

	/** Called by the module loader before the module is live: relocations against vmlinux. 0 or a negative errno. */
	klp_apply_section_relocs(mod: module): number;
	/** Called by the module loader in MODULE_STATE_COMING, before init. Takes klp_mutex. An errno refuses the module. */
	klp_module_coming(mod: module): Kernel<number>;
	/** Called by the module loader in MODULE_STATE_GOING, after exit or a failed init. Takes klp_mutex. */
	klp_module_going(mod: module): Kernel<void>;

	// ---- tasks ----

	/**
	 * Called by copy_process() with tasklist_lock held, when `child` is on the task list already. The kernel has no counterpart
	 * at exit: a task that has left the list is not found any more.
	 */
	klp_copy_process(parent: task_struct, child: task_struct): void;
	/** Called by a task on its way to user mode, and by the idle loop: switches `task` if TIF_PATCH_PENDING is set. No locks. */
	klp_update_patch_state(task: task_struct): Kernel<void>;
	/** Called by cond_resched() if {@link klp_sched_try_switch_key} is set: tries to switch `current`. No locks. */
	__klp_sched_try_switch(): Kernel<void>;
	/** The static key of cond_resched(). */
	readonly klp_sched_try_switch_key: boolean;

	// ---- calls ----

	/** Address of klp_ftrace_handler(): `func` of the core's ftrace_ops. */
	readonly klp_ftrace_handler_address: Kaddr;

	// ---- for observers (see KlpObserver): reads that change nothing ----

	/** While it is held, no kworker that would take it is run. */
	readonly klp_mutex: { readonly locked: boolean };
	/** Name of the patch in transition. */
	readonly inTransition: string | undefined;
	/** KLP_TRANSITION_IDLE while no transition runs. */
	readonly klp_target_state: number;
	/** The implementation that a call of `old_func` runs in a task with `patch_state`; undefined: the original. */
	wouldRun(old_func: Kaddr, patch_state: number): Implementation | undefined;
	/** func_stack of `old_func`, newest entry first. */
	funcStack(old_func: Kaddr): readonly StackEntry[];
	/**
	 * The implementation of `old_func` that every task runs by the promise of the design: `now`, by the enabled patches
	 * and as if no transition were running; `after`, when the running transition has reached its target. Undefined: the
	 * original.
	 */
	promised(when: "now" | "after", old_func: Kaddr): Implementation | undefined;
	/**
	 * Makes a function that returns true if wouldRun() and funcStack() of `old_func` may have changed since its last
	 * call. It reads only the words that they depend on, so that a check of many functions is cheap if nothing changes.
	 */
	watchStack(old_func: Kaddr): () => boolean;
	/** The same for promised("now", ...) of all functions. */
	watchPromises(): () => boolean;

	// ---- for the explorer ----

	/** A core that is guest code; undefined: TypeScript. */
	readonly code: CoreCode | undefined;

	/** The work that tries to complete the transition again. */
	isTransitionWork(work: work_struct | undefined): boolean;
	/** Number of attempts to complete the transition; every 15th attempt sends signals. */
	klp_signals_cnt: number;
	/**
	 * One step of klp_ftrace_handler() of `current`, which was called with `fops` and `fregs`: up to the next read that can race.
	 * `at` undefined: the handler has just been called. The last step stores the chosen ip in `fregs`.
	 */
	handlerStep(at: HandlerPlace | undefined, fops: Kaddr, fregs: Kaddr): HandlerStep;
	/** All state of the core that a step of the handler, cond_resched() or the way out of the kernel may read. */
	handlerKey(): readonly unknown[];
	/** What the design says about the handler; undefined: the handler is guest code. */
	readonly handlerRules: HandlerRules | undefined;
}
