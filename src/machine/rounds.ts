import { KlpemuError } from "../base/index.js";
import type { Ftrace } from "../linux/ftrace/index.js";
import { GuestFault, type Oops } from "../linux/guest/index.js";
import type { Livepatch } from "../linux/klp/index.js";
import { isStep, type Kernel, runStraight, visitor, type Wait } from "../linux/lib/index.js";
import {
	type CpuHotplug,
	type HostTasks,
	type Sched,
	TASK_DEAD,
	TASK_IDLE,
	TASK_RUNNING,
	TASK_UNINTERRUPTIBLE,
	type TaskMode,
	type task_struct,
	type Workqueue,
	type work_struct,
} from "../linux/sched/index.js";
import type { Kaddr, Memory } from "../memory/index.js";
import type { Executor } from "./executor.js";
import type { Observer } from "./observers.js";
import { type PlaceParts, placesOf } from "./places.js";

/** Number of rounds that a task may wait for another one. A longer wait is a deadlock. */
export const WAIT_ROUNDS = 100_000;

interface Parts extends PlaceParts {
	readonly memory: Memory;
	readonly sched: Sched;
	readonly hostTasks: HostTasks;
	readonly hotplug: CpuHotplug;
	readonly workqueue: Workqueue;
	readonly ftrace: Ftrace;
	readonly klp: Livepatch;
	/** Told of each jiffy: delayed works and timers of modules. */
	readonly ticking: readonly { tick(): void }[];
	readonly executor: Executor;
	readonly oops: Oops;
	readonly observers: Iterable<Observer>;
	/** Guest addresses of `jiffies`: vmlinux may have one, and .ko files have another one. */
	readonly jiffies: readonly Kaddr[];
}

/** Kernel code in TypeScript that has stopped in the middle. */
interface Rest {
	readonly code: Kernel<void>;
	/** What it waits for; undefined: a CPU. */
	readonly wait: Wait | undefined;
	/** Where its task is: `kernel` in guest code that TypeScript has called. */
	readonly mode: TaskMode;
}

/** Time: rounds, in which every emulated CPU runs a slice of one task, and kernel code in TypeScript between them. */
export class Rounds {
	readonly #parts: Parts;
	/** True if the kworker runs a work that waits for other tasks, or has lost its CPU in it. */
	private kworkerBusy = false;
	/** The rest of the work in which the kworker has lost its CPU, or waits. */
	private rest: Rest | undefined = undefined;
	/** Number of pieces of kernel code in TypeScript that are in progress; each one waits for the next one. */
	private running = 0;

	constructor(parts: Parts) {
		this.#parts = parts;
	}

	/** True if kernel code in TypeScript is in progress: the state of a generator cannot be saved. */
	get busy(): boolean {
		return this.running > 0 || this.rest !== undefined;
	}

	/** Drops kernel code in progress, where an observer has thrown: the machine is to be restored. */
	abandon(): void {
		this.running = 0;
		this.rest = undefined;
		this.kworkerBusy = false;
	}

	/** One round: timers, due work, then a slice on every CPU. */
	round(): void {
		const { sched, memory, jiffies, ticking, executor, hostTasks, observers } = this.#parts;
		for (const observer of observers) observer.round?.();
		sched.tick();
		for (const at of jiffies) memory.setU64(at, BigInt(sched.jiffies));
		for (const each of ticking) each.tick();
		if (this.rest !== undefined && this.#mayGoOn(this.rest)) this.#goOn(this.rest);
		for (let due = this.#takeWork(); due !== undefined; due = this.#takeWork()) this.#runWork(due.func());
		for (const cpu of sched.order()) {
			const task = sched.pick(cpu);
			executor.runSlice(cpu, task, sched.slice());
		}
		sched.current = hostTasks.shell;
	}

	/**
	 * The next work of the kernel itself; none while a task holds one of these locks. The work would wait for that
	 * task, which could not continue before the work has finished.
	 */
	#takeWork(): work_struct | undefined {
		const { klp, ftrace, hotplug, workqueue, sched } = this.#parts;
		const held = klp.klp_mutex.locked || ftrace.ftrace_lock.locked || ftrace.direct.direct_mutex.locked;
		if (this.kworkerBusy || held || hotplug.lock.locked || !workqueue.isDue(sched.jiffies)) return undefined;
		return sched.cpuForHost() === undefined ? undefined : workqueue.take(sched.jiffies);
	}

	#mayGoOn({ wait }: Rest): boolean {
		const { sched } = this.#parts;
		return wait === undefined ? sched.getsCpuBack() : wait.ready() && sched.cpuForHost() !== undefined;
	}

	/** Runs a work to its end, or to a point where the kworker loses its CPU: then it goes on in a later round. */
	#runWork(code: Kernel<void>): void {
		const { kworker } = this.#parts.hostTasks;
		const resumed = this.rest !== undefined;
		this.kworkerBusy = true;
		this.rest = undefined;
		try {
			this.rest = this.runAs(kworker, TASK_IDLE, this.#untilItStops(kworker, code, resumed));
		} finally {
			this.kworkerBusy = this.rest !== undefined;
		}
		if (this.rest === undefined) return;
		kworker.__state = this.rest.wait === undefined ? TASK_RUNNING : TASK_UNINTERRUPTIBLE;
		kworker.mode = this.rest.mode;
	}

	#goOn({ code, mode }: Rest): void {
		const { kworker } = this.#parts.hostTasks;
		function* goOn(): Kernel<void> {
			kworker.mode = mode;
			yield* code;
		}
		kworker.mode = "host";
		this.#runWork(goOn());
	}

	/**
	 * Undefined: the code has ended. It stops where its task loses the CPU behind a step, and from then on where it must wait: perhaps
	 * for a lock of code that is in the middle of a wait itself, in which this round is made.
	 */
	*#untilItStops(task: task_struct, code: Kernel<void>, resumed: boolean): Kernel<Rest | undefined> {
		const { sched } = this.#parts;
		for (;;) {
			const { done, value } = code.next();
			if (done) return undefined;
			const waits = typeof value === "object" && value.kind === "wait" && !value.ready();
			if (waits && (resumed || value.aside)) return { code, wait: value, mode: task.mode };
			yield value;
			if (isStep(value) && sched.losesCpu(task, value)) return { code, wait: undefined, mode: task.mode };
		}
	}

	/** Runs rounds until no transition is in progress and no work is left; false if `max` rounds were not enough. */
	settle(max: number): boolean {
		const { klp, workqueue } = this.#parts;
		for (let i = 0; i <= max; i++) {
			const busy = klp.inTransition !== undefined || workqueue.pending.length > 0 || this.rest !== undefined;
			if (!busy) return true;
			this.round();
		}
		return false;
	}

	/** Runs kernel code as `task`, to its end; the task sleeps in `sleepState` afterwards. Throws `DEADLOCK`. */
	runAs<T>(task: task_struct, sleepState: number, code: Kernel<T>): T {
		const { sched, observers, oops } = this.#parts;
		const block = (wait: Wait) => {
			if (!wait.preempted) task.__state = TASK_UNINTERRUPTIBLE;
			sched.deschedule(task);
			for (let i = 0; !wait.ready(); i++) {
				if (i > WAIT_ROUNDS) throw this.deadlock(`${task.comm} waits for ever: ${wait.label}`);
				this.round();
			}
			this.#schedule(task);
		};
		const { mode } = task;
		this.running++;
		try {
			this.#schedule(task);
			return runStraight(code, visitor(observers), block);
		} catch (error) {
			if (!(error instanceof GuestFault)) throw error;
			return oops.dieInCall(task, error.fault, task.regs.rip, `system call of ${task.comm} (${error.reason})`);
		} finally {
			// Also if the code was abandoned in the middle, perhaps in guest code.
			this.running--;
			task.mode = mode;
			if (task.__state !== TASK_DEAD) {
				task.__state = sleepState;
				sched.deschedule(task);
			}
		}
	}

	/** `message`, and where the tasks are. */
	deadlock(message: string, code = "DEADLOCK"): KlpemuError {
		return new KlpemuError(code, message, { hint: `where the tasks are: ${placesOf(this.#parts)}` });
	}

	/** Puts a process in TypeScript on a CPU as soon as one can be taken: on CPU 0 if possible. Throws `DEADLOCK`. */
	#schedule(task: task_struct): void {
		const { sched } = this.#parts;
		let cpu = sched.cpuForHost();
		for (let i = 0; cpu === undefined; cpu = sched.cpuForHost()) {
			if (i++ > WAIT_ROUNDS) throw this.deadlock(`${task.comm} gets no CPU: all tasks stay in the kernel`);
			this.round();
		}
		task.__state = TASK_RUNNING;
		sched.switch_to(cpu, task);
		sched.current = task;
	}
}
