import { KlpemuError } from "../base/index.js";
import type { Livepatch } from "../linux/klp/index.js";
import { type Kernel, type Observers, runStraight } from "../linux/lib/index.js";
import {
	type HostTasks,
	type KernelStacks,
	type LateCall,
	PF_KTHREAD,
	type Sched,
	TASK_INTERRUPTIBLE,
	TASK_RUNNING,
	type TaskProgram,
	TIF_PATCH_PENDING,
	type task_struct,
} from "../linux/sched/index.js";
import type { Kaddr } from "../memory/index.js";
import type { Observer } from "./observers.js";
import { type Rounds, WAIT_ROUNDS } from "./rounds.js";

export interface NewTask {
	readonly name: string;
	readonly kthread: boolean;
	readonly calls: readonly (Kaddr | LateCall)[];
	readonly sleepAt?: (() => readonly Kaddr[]) | undefined;
	/** A signal ends the sleep there. */
	readonly interruptible?: boolean;
	/** Functions that do_exit() still calls after the task has left the task list. */
	readonly exitCalls?: readonly (Kaddr | LateCall)[];
	/** The CPU it is bound to. */
	readonly cpu?: number | undefined;
	/** The task starts asleep, until it is woken. */
	readonly idle?: boolean;
}

/** Number of arguments that a function takes in registers. */
export const MAX_ARGUMENTS = 6;

function checkArguments(args: readonly bigint[]): void {
	if (args.length > MAX_ARGUMENTS) {
		throw new KlpemuError("CALL_ARGUMENTS", `${args.length} arguments, at most ${MAX_ARGUMENTS} are possible`);
	}
	const bad = args.find((value) => value < -(1n << 63n) || value >= 1n << 64n);
	if (bad !== undefined) throw new KlpemuError("CALL_ARGUMENTS", `the argument ${bad} has more than 64 bits`);
}

/** Tasks that call guest functions: they are created, end, sleep and wake here. */
export class Tasks {
	readonly #rounds: Rounds;
	readonly #sched: Sched;
	readonly #stacks: KernelStacks;
	readonly #hostTasks: HostTasks;
	readonly #klp: Livepatch;
	readonly #observers: Observers<Observer>;

	constructor(parts: {
		readonly rounds: Rounds;
		readonly sched: Sched;
		readonly stacks: KernelStacks;
		readonly hostTasks: HostTasks;
		readonly klp: Livepatch;
		readonly observers: Observers<Observer>;
	}) {
		this.#rounds = parts.rounds;
		this.#sched = parts.sched;
		this.#stacks = parts.stacks;
		this.#hostTasks = parts.hostTasks;
		this.#klp = parts.klp;
		this.#observers = parts.observers;
	}

	/** A new task: a child of the shell, as every task is a child of some task. */
	add(spec: NewTask): task_struct {
		return this.fork(this.#hostTasks.shell, spec);
	}

	/**
	 * A child with the patch state of its parent; it starts outside of guest kernel code. copy_process() in one go, see
	 * {@link copy_process}.
	 */
	fork(parent: task_struct, spec: NewTask): task_struct {
		return runStraight(this.copy_process(parent, spec));
	}

	/**
	 * copy_process(): the child has the flags and the patch_state that its parent has in the beginning. Much later it joins the task
	 * list, and takes them over again, because a transition may have begun, ended or been reversed since (klp_copy_process).
	 */
	*copy_process(parent: task_struct, spec: NewTask): Kernel<task_struct> {
		const { calls, sleepAt, interruptible = false, exitCalls = [] } = spec;
		const program: TaskProgram = { calls, exitCalls, ...(sleepAt && { sleepAt }), interruptible, sleepRounds: 2 };
		const flags = spec.kthread ? PF_KTHREAD : 0;
		const task = this.#sched.dup_task_struct(spec.name, { flags, mode: spec.kthread ? "kernel" : "user", program });
		task.thread_flags = parent.thread_flags & TIF_PATCH_PENDING;
		task.patch_state = parent.patch_state;
		// What was copied is in the label: it is all that this code remembers.
		yield `copy_process: dup_task_struct (${task.patch_state}${task.pending ? ", TIF_PATCH_PENDING" : ""})`;
		this.#sched.attach(task);
		if (spec.cpu !== undefined) task.pinned = spec.cpu;
		if (spec.idle) task.__state = TASK_INTERRUPTIBLE;
		else this.#sched.enqueue(task);
		this.#klp.klp_copy_process(parent, task);
		for (const observer of this.#observers) observer.point?.("klp_copy_process", "step");
		return task;
	}

	/**
	 * Lets a task make one call of `func` instead of its own program. `args`: up to six numbers of 64 bits; default:
	 * the task's pid. Returns the call's rax; undefined if the call takes more than `rounds` rounds. Throws
	 * `CALL_ARGUMENTS`.
	 */
	callOnce(task: task_struct, func: Kaddr, rounds: number, args?: readonly bigint[]): bigint | undefined {
		if (args !== undefined) checkArguments(args);
		const { program } = task;
		this.wake(task);
		this.#untilOutside(task, rounds);
		let result: bigint | undefined;
		const call = (caller: task_struct, called: Kaddr, value: bigint) => {
			if (caller === task && called === func) result = value;
		};
		const unsubscribe = this.#observers.observe({ call });
		try {
			task.program = { calls: [func], ...(args && { args }), sleepRounds: 1 };
			task.nextCall = 0;
			for (let i = 0; result === undefined && i < rounds; i++) this.#rounds.round();
			if (result !== undefined) this.#untilOutside(task, rounds);
			return result;
		} finally {
			unsubscribe();
			task.program = program;
		}
	}

	/** Runs rounds until a task is between two rounds of its program: in user mode, or in its kthread's sleep. */
	#untilOutside(task: task_struct, rounds: number): boolean {
		const inside = () =>
			task.mode === "kernel" && task.stack !== undefined && !(task.kthread && task.__state !== TASK_RUNNING);
		for (let i = 0; inside(); i++) {
			if (i >= rounds) return false;
			this.#rounds.round();
		}
		return true;
	}

	/**
	 * Ends a task as soon as it is outside of guest kernel code. One with `exitCalls` leaves the task list, and makes them then. Throws
	 * `TASK_STUCK`.
	 */
	exit(task: task_struct): void {
		if (!task.kthread || task.held) this.wake(task);
		if (!this.#untilOutside(task, WAIT_ROUNDS)) {
			throw this.#rounds.deadlock(`task '${task.comm}' does not come out of the kernel`, "TASK_STUCK");
		}
		if (task.program.exitCalls?.length) {
			// The rest of do_exit() is ahead of it, up to do_task_dead().
			this.#sched.release_task(task);
			return;
		}
		this.#sched.remove(task);
		this.#stacks.release(task);
	}

	/** Ends a sleep of any kind. */
	wake(task: task_struct): void {
		task.held = false;
		task.slept = true;
		if (!this.#sched.wake_up_state(task, -1)) this.#sched.enqueue(task);
	}
}
