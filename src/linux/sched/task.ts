import { declareState } from "../../base/index.js";
import { CpuState, RFLAGS, RFLAGS_RESET, STATE_WORDS } from "../../cpu/index.js";
import type { Kaddr, Region } from "../../memory/index.js";
import { type Kernel, list_head, type Wait } from "../lib/index.js";

/** Thread flags (arch/x86/include/asm/thread_info.h), as bits. */
export const TIF_PATCH_PENDING = 1 << 13;
export const TIF_NOTIFY_SIGNAL = 1 << 17;

/** task_struct.flags (include/linux/sched.h). */
export const PF_IDLE = 0x00000002;
export const PF_KTHREAD = 0x00200000;

/** task_struct.__state (include/linux/sched.h). */
export const TASK_RUNNING = 0;
export const TASK_INTERRUPTIBLE = 1;
export const TASK_UNINTERRUPTIBLE = 2;
/** All states that an ordinary wake-up ends. */
export const TASK_NORMAL = TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE;
export const TASK_DEAD = 0x80;
export const TASK_NOLOAD = 0x400;
/**
 * The task sleeps like an uninterruptible task, but does not count as load. Most kernel threads sleep in this state.
 */
export const TASK_IDLE = TASK_UNINTERRUPTIBLE | TASK_NOLOAD;

/**
 * The place of a task, on a CPU or not: `user` in user mode, with an empty kernel stack; `kernel` in guest kernel code;
 * `host` in kernel code that klpemu runs in TypeScript (the shell in a system call, a kworker), which has no guest
 * stack either.
 */
export type TaskMode = "user" | "kernel" | "host";

/** A function that is looked up each time it is called: its module comes and goes. */
export interface LateCall {
	/** Throws a KlpemuError if the function is not there. */
	resolve(): Kaddr;
	/** Where it was when it was last called. */
	readonly last: Kaddr;
}

/** The work of a task each time it runs. */
export interface TaskProgram {
	/** Guest functions, called in this order. One round is one system call, or one turn of a kthread's loop. */
	readonly calls: readonly (Kaddr | LateCall)[];
	/** Arguments of each call; default: the pid of the task is the first one. */
	readonly args?: readonly bigint[];
	/** Instead of `calls`: returns the next function with its argument; undefined at the end of a round. `result`: rax of the last one. */
	readonly next?: (result: bigint) => { readonly func: bigint; readonly argument: bigint } | undefined;
	/** What a kthread with `next` does at the end of a round: another one at once, do_exit(), or it sleeps in this state. */
	readonly afterRound?: () => "again" | "exit" | number;
	/** Stops the task in the body of a function, once: the instruction addresses where bodies begin. */
	readonly sleepAt?: () => readonly Kaddr[];
	/** A signal ends the sleep at `sleepAt`. */
	readonly interruptible?: boolean;
	/** Functions that do_exit() still calls after the task has left the task list. */
	readonly exitCalls?: readonly (Kaddr | LateCall)[];
	/** A kthread sleeps this many rounds after each turn. */
	readonly sleepRounds?: number;
}

/** A return address on a task's stack that the function graph tracer has replaced (struct ftrace_ret_stack). */
export interface ftrace_ret_stack {
	readonly ret: Kaddr;
	/** The call site of the function that returns there. */
	readonly func: Kaddr;
	/** Address of the word that held it. */
	readonly retp: Kaddr;
	/** Jiffy of the call. */
	readonly calltime: number;
	/** The call is one of set_graph_function: those inside it are traced, too. */
	readonly root?: boolean;
}

/** A call whose return a kretprobe has hooked (struct rethook_node). */
export interface rethook_node {
	/** Its struct kretprobe_instance. */
	readonly node: Kaddr;
	/** Its struct kretprobe. */
	readonly rp: Kaddr;
	readonly ret_addr: Kaddr;
	/** Address of the word that held it. */
	readonly frame: Kaddr;
}

/** A task (include/linux/sched.h), with the fields that the scheduler, ftrace and livepatch use. */
export class task_struct {
	/**
	 * Not part of the key: it is the key of the kernel without its tasks. The explorer has a separate state for each
	 * task.
	 */
	static readonly state = declareState("task_struct", { fields: ["comm", "stack"], unkeyed: "rest" });

	readonly pid: number;
	readonly comm: string;
	readonly flags: number;
	/** thread_info.flags */
	thread_flags = 0;
	/** KLP_TRANSITION_IDLE, _UNPATCHED or _PATCHED. */
	patch_state = -1;
	__state = TASK_RUNNING;
	mode: TaskMode;
	/** The CPU it is on (task_curr), or -1. */
	on_cpu = -1;
	/** The CPU it must stay on, or -1. */
	pinned = -1;
	/** Not scheduled although runnable: the scenario keeps the task preempted. */
	held = false;
	/** Number of voluntary context switches and exits to user mode, for which synchronize_rcu_tasks() waits. */
	nvcsw = 0;
	/** rcu_tasks_pertask(): a grace period waits until it sleeps or leaves the kernel. */
	rcu_tasks_holdout = false;
	/** preempt_disable() of kernel code that runs in TypeScript as this task. */
	preempt_count = 0;
	/** Recursion protection of ftrace, one bit per context. */
	trace_recursion = 0;
	/** The shadow stack of the function graph tracer, oldest first. Replaced as a whole, never changed. */
	ret_stack: readonly ftrace_ret_stack[] = [];
	/** Calls that return to arch_rethook_trampoline, newest first. Replaced as a whole, never changed. */
	rethooks: readonly rethook_node[] = [];
	/** A handler of a kprobe runs (current_kprobe of its CPU: preemption is disabled). */
	kprobe_running = false;
	/** The kernel stack; mapped when the task first enters guest kernel code. */
	stack: Region | undefined = undefined;
	readonly regs = new CpuState(new BigUint64Array(STATE_WORDS));
	program: TaskProgram;
	/** Index of the next call in `program.calls`. */
	nextCall = 0;
	/** Its place in the run queue. */
	readonly run_list: list_head<task_struct> = new list_head<task_struct>(this);
	/** Jiffy at which the timer wakes a sleeping task (Sched.set_timer), or Infinity. */
	wakeAt = Number.POSITIVE_INFINITY;
	/**
	 * The kernel function in TypeScript that guest code has called and that has not finished. It continues when the
	 * task runs.
	 */
	inHost: Kernel<void> | undefined = undefined;
	/** The wait of `inHost`, until it continues. */
	waitsFor: Wait | undefined = undefined;
	/**
	 * set_current_state(): how the next schedule() sleeps. TASK_RUNNING: not at all, because a wake-up came first. Undefined: the task
	 * has not said.
	 */
	sleep_state: number | undefined = undefined;
	/** prepare_to_wait(): address of the wait queue; 0: none. */
	wait_queue: Kaddr = 0;
	/** It has left the task list, and is in the rest of do_exit(). */
	exiting = false;
	/** It has been stopped at `program.sleepAt` already. */
	slept = false;
	/** rax of the last guest call that returned, for tests and reports. */
	lastResult = 0n;
	/** Set if the task has done something for which a kernel would oops. */
	oops: string | undefined = undefined;

	constructor(pid: number, comm: string, options: { flags?: number; mode: TaskMode; program?: TaskProgram }) {
		this.pid = pid;
		this.comm = comm;
		this.flags = options.flags ?? 0;
		this.mode = options.mode;
		this.program = options.program ?? { calls: [] };
		this.regs.words[RFLAGS] = RFLAGS_RESET;
	}

	get kthread(): boolean {
		return (this.flags & PF_KTHREAD) !== 0;
	}
	get idle(): boolean {
		return (this.flags & PF_IDLE) !== 0;
	}
	/** TIF_PATCH_PENDING is set. */
	get pending(): boolean {
		return (this.thread_flags & TIF_PATCH_PENDING) !== 0;
	}
}

/** The next action of a task after a gate has stopped the Cpu. */
export type Continuation = "go-on" | "end-slice";

/** The task is not in code with preemption disabled: the scheduler may give its CPU to another task. */
export function preemptible(task: task_struct): boolean {
	return task.trace_recursion === 0 && task.preempt_count === 0;
}

/** The task sleeps or leaves the kernel voluntarily: a grace period of RCU tasks need not wait for it any longer. */
export function switchedVoluntarily(task: task_struct): void {
	task.nvcsw++;
	task.rcu_tasks_holdout = false;
}
