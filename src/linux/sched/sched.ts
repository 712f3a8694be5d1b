import type { Random } from "../../base/index.js";
import { declareState, KlpemuError } from "../../base/index.js";
import { labelOf, list_add_tail, list_del, list_empty, list_head, type Point, type Wait } from "../lib/index.js";
import {
	PF_IDLE,
	preemptible,
	TASK_DEAD,
	TASK_INTERRUPTIBLE,
	TASK_RUNNING,
	TASK_UNINTERRUPTIBLE,
	TIF_NOTIFY_SIGNAL,
	task_struct,
} from "./task.js";

/** One emulated processor. */
export interface EmulatedCpu {
	readonly id: number;
	online: boolean;
	/** The task that is on it. */
	curr: task_struct;
	readonly idle: task_struct;
	/** TIF_NEED_RESCHED of the idle task: it wakes and runs through its loop once. */
	need_resched: boolean;
	/** TIF_NEED_RESCHED of any other task: it gives up the CPU at its next cond_resched(). */
	resched_curr: boolean;
}

/**
 * Places at which a task in the kernel can lose its CPU. `none`, as in a PREEMPT_VOLUNTARY kernel: only if it sleeps,
 * leaves the kernel or calls cond_resched(). `full`: after any instruction, unless preemption is disabled.
 */
export type Preemption = "none" | "full";

/** The step that cond_resched() makes in guest code that TypeScript has called. */
export const COND_RESCHED_STEP = "cond_resched";

/**
 * The struct task_structs in guest memory, which follow the tasks of the scheduler: of a livepatch core (linux/klp-c), or of .ko files
 * (linux/exports).
 */
export interface TaskStructs {
	/** dup_task_struct(): the task exists, and is not on the task list yet. */
	created(task: task_struct): void;
	/** The task is on the task list. */
	listed(task: task_struct): void;
	/** It has left the list. */
	unlisted(task: task_struct): void;
	/** It is `current` now. */
	switchedTo(task: task_struct): void;
}

/**
 * Which task runs on which CPU. Purely bookkeeping: the machine executes. All choices come from the seed: the order of CPUs
 * in a round,
 * the length of a slice, whether a task is preempted at its end.
 */
export class Sched {
	/** The time and the CPU of each task are choices: of the seed, or of the explorer, which tries all of them. */
	static readonly state = declareState("Sched", {
		fields: ["tasks", "exiting", "cpus", "nextPid", "tasklist_lock"],
		unkeyed: ["current", "instructions", "reschedAlways", "runqueue", "jiffies", "timers", "waiters", "random"],
	});

	/** All processes and threads in pid order, without the idle tasks (for_each_process_thread). */
	readonly tasks: task_struct[] = [];
	/**
	 * Tasks that have left the list and are in the rest of do_exit(), the dead ones included until they are reaped (rtp_exit_list of
	 * kernel/rcu/tasks.h), in pid order. Livepatch does not find them.
	 */
	readonly exiting: task_struct[] = [];
	/** A loop over the task list holds it for reading: no task comes or goes. (A core that is guest code has the lock in its own memory.) */
	tasklist_lock = false;
	readonly cpus: EmulatedCpu[] = [];
	/** Runnable tasks that are on no CPU, in the order in which they will run. */
	readonly runqueue = new list_head<task_struct>();
	private currentTask: task_struct;
	/** Rounds since the machine started. */
	jiffies = 0;
	/** Guest instructions since the machine started, all tasks together. */
	instructions = 0;
	/** Sleeping tasks by the jiffy of their timer. An entry is stale if the task's `wakeAt` has changed, and is ignored. */
	private readonly timers = new Map<number, task_struct[]>();
	/** Tasks that sleep until something holds, in the order in which they fell asleep. */
	private readonly waiters = new Set<task_struct>();
	private readonly random: Random;
	readonly preemption: Preemption;
	/** Each cond_resched() stops the task, also if no other task waits for the CPU. */
	reschedAlways = false;
	nextPid = 1;
	/** Set once, by what keeps the tasks in guest memory: a livepatch core, or the data that .ko files read. */
	structs: TaskStructs | undefined = undefined;
	/** Whether there are readers of RCU that the fields of tasks do not show: added once, by a livepatch core and by the explorer. */
	readonly otherReaders: (() => boolean)[] = [];

	constructor(cpus: number, random: Random, preemption: Preemption) {
		this.random = random;
		this.preemption = preemption;
		for (let id = 0; id < cpus; id++) {
			const idle = new task_struct(0, `swapper/${id}`, { flags: PF_IDLE, mode: "kernel" });
			idle.on_cpu = id;
			idle.pinned = id;
			this.cpus.push({ id, online: true, curr: idle, idle, need_resched: false, resched_curr: false });
		}
		this.currentTask = this.cpus[0]!.idle;
	}

	/** Adds a task to the task list and, unless it sleeps, to the run queue. */
	add(comm: string, options: ConstructorParameters<typeof task_struct>[2]): task_struct {
		const task = this.dup_task_struct(comm, options);
		this.attach(task);
		return task;
	}

	/** Puts a new task on the task list. */
	attach(task: task_struct): void {
		this.tasks.push(task);
		this.structs?.listed(task);
	}

	/** A task that is not on the task list yet. */
	dup_task_struct(comm: string, options: ConstructorParameters<typeof task_struct>[2]): task_struct {
		const task = new task_struct(this.nextPid++, comm, options);
		this.structs?.created(task);
		return task;
	}

	/** The task that executes: the kernel's `current`. */
	get current(): task_struct {
		return this.currentTask;
	}

	/**
	 * Every switch of `current` uses this setter. Code that was compiled with the kernel's headers also needs the task in
	 * pcpu_hot.current_task.
	 */
	set current(task: task_struct) {
		this.currentTask = task;
		this.structs?.switchedTo(task);
	}

	/** Adds a process whose kernel code is TypeScript; it sleeps in `sleepState`. */
	addHost(comm: string, flags: number, sleepState: number): task_struct {
		const task = this.add(comm, { mode: "host", flags });
		task.__state = sleepState;
		return task;
	}

	find(comm: string): task_struct | undefined {
		return this.tasks.find((task) => task.comm === comm) ?? this.cpus.find((cpu) => cpu.idle.comm === comm)?.idle;
	}

	/** All tasks, idle tasks last. */
	*all(): Generator<task_struct, void, void> {
		yield* this.tasks;
		for (const cpu of this.cpus) yield cpu.idle;
	}

	/** Adds a runnable task to the queue, unless it is in the queue or on a CPU. */
	enqueue(task: task_struct): void {
		if (task.__state !== TASK_RUNNING || task.held || task.idle || task.on_cpu >= 0) return;
		if (list_empty(task.run_list)) list_add_tail(task.run_list, this.runqueue);
	}

	/** Puts `task` on `cpu`; the task that was there goes back to the queue if it can run. */
	switch_to(cpu: EmulatedCpu, task: task_struct): void {
		const prev = cpu.curr;
		if (prev === task) return;
		if (task.on_cpu >= 0 && task.on_cpu !== cpu.id) {
			throw new Error(`switch_to: ${task.comm} is on CPU ${task.on_cpu} already`);
		}
		prev.on_cpu = -1;
		// When the idle task runs again, it is in the middle of its loop.
		if (prev.idle) cpu.need_resched = true;
		list_del(task.run_list);
		task.on_cpu = cpu.id;
		cpu.curr = task;
		cpu.resched_curr = false;
		this.enqueue(prev);
	}

	/** True if the task on a CPU can be taken off it now. */
	preemptible({ curr }: EmulatedCpu): boolean {
		if (this.preemption === "full" || curr.idle || curr.mode !== "kernel") return true;
		return curr.__state !== TASK_RUNNING || curr.held;
	}

	/**
	 * A CPU for kernel code that runs as a process in TypeScript: the first CPU whose task can be taken off. If there
	 * is none, all tasks get TIF_NEED_RESCHED.
	 */
	cpuForHost(): EmulatedCpu | undefined {
		const online = this.cpus.filter((cpu) => cpu.online);
		const found = online.find((cpu) => this.preemptible(cpu));
		if (found === undefined) for (const cpu of online) cpu.resched_curr = true;
		return found;
	}

	/** should_resched(): true if the current task must give up its CPU in cond_resched(). */
	should_resched(task: task_struct): boolean {
		return this.reschedAlways || (this.cpus[task.on_cpu]?.resched_curr ?? false);
	}

	/** Called by the current task in cond_resched(). True if it has given up its CPU. */
	cond_resched(task: task_struct): boolean {
		const cpu = this.cpus[task.on_cpu];
		if (!cpu?.resched_curr) return false;
		this.switch_to(cpu, this.#first(cpu) ?? cpu.idle);
		return true;
	}

	/**
	 * schedule() of a task that does not sleep: the next one in the queue gets its CPU, or kernel code that waits for one. The explorer
	 * moves tasks itself.
	 */
	yield(task: task_struct): void {
		const cpu = this.cpus[task.on_cpu];
		if (cpu === undefined || this.reschedAlways) return;
		const next = this.#first(cpu) ?? (cpu.resched_curr ? cpu.idle : undefined);
		if (next !== undefined) this.switch_to(cpu, next);
	}

	/**
	 * For kernel code in TypeScript, behind a step: true if its task loses the CPU there. `full`: at any step unless preemption is
	 * disabled, as it is in a loop over all tasks, which holds tasklist_lock. Otherwise in cond_resched() only. Nothing happens unless
	 * another task waits for a CPU.
	 */
	losesCpu(task: task_struct, step: Point): boolean {
		const off = !preemptible(task) || (typeof step !== "string" && step.kind === "turn");
		const may = this.preemption === "full" ? !off : labelOf(step) === COND_RESCHED_STEP;
		return may && !list_empty(this.runqueue) && this.random.below(8) === 0;
	}

	/** A task that has lost its CPU in kernel code in TypeScript gets one in this round. */
	getsCpuBack(): boolean {
		return this.cpuForHost() !== undefined && this.random.below(2) === 0;
	}

	/** Takes a task off its CPU. The CPU is idle until the next pick. */
	deschedule(task: task_struct): void {
		list_del(task.run_list);
		if (task.on_cpu < 0 || task.idle) return;
		const cpu = this.cpus[task.on_cpu]!;
		task.on_cpu = -1;
		cpu.curr = cpu.idle;
		cpu.resched_curr = false;
		cpu.idle.on_cpu = cpu.id;
	}

	/**
	 * Called when the task has reached the place where it must sleep (TaskProgram.sleepAt). It sleeps until another
	 * task wakes it or, if interruptible, until a signal.
	 */
	fallAsleep(task: task_struct): void {
		if (task.program.interruptible) task.__state = TASK_INTERRUPTIBLE;
		else task.held = true;
		this.deschedule(task);
	}

	/**
	 * Chooses the next task for `cpu`: usually the same task, sometimes (always if that cannot run) the next one in the
	 * queue.
	 */
	pick(cpu: EmulatedCpu): task_struct {
		const curr = cpu.curr;
		const next = this.#first(cpu);
		const stay = !curr.idle && curr.__state === TASK_RUNNING && !curr.held;
		if (next === undefined) {
			if (!stay) this.switch_to(cpu, cpu.idle);
			return cpu.curr;
		}
		if (stay && this.random.below(2) !== 0) return curr;
		if (this.preemptible(cpu)) this.switch_to(cpu, next);
		else cpu.resched_curr = true;
		return cpu.curr;
	}

	#first(cpu: EmulatedCpu): task_struct | undefined {
		for (const task of this.runqueue) if (task.pinned < 0 || task.pinned === cpu.id) return task;
		return undefined;
	}

	/** Instructions of the next slice. */
	slice(): number {
		return 16 + this.random.below(64);
	}

	/** The online CPUs in this round's order. */
	order(): EmulatedCpu[] {
		const online = this.cpus.filter((cpu) => cpu.online);
		const first = this.random.below(Math.max(online.length, 1));
		return [...online.slice(first), ...online.slice(0, first)];
	}

	/** Makes a sleeping task runnable (try_to_wake_up). False if it does not sleep in one of the given states. */
	wake_up_state(task: task_struct, states: number): boolean {
		if (task.__state === TASK_RUNNING && task.sleep_state !== undefined && (task.sleep_state & states) !== 0) {
			task.sleep_state = TASK_RUNNING;
			return true;
		}
		if (task.__state === TASK_RUNNING || task.__state === TASK_DEAD || (task.__state & states) === 0) return false;
		task.__state = TASK_RUNNING;
		task.wakeAt = Number.POSITIVE_INFINITY;
		this.waiters.delete(task);
		this.enqueue(task);
		return true;
	}

	/** If a CPU runs its idle task, makes it run through its loop once. */
	wake_up_if_idle(id: number): void {
		const cpu = this.cpus[id]!;
		if (cpu.curr.idle) cpu.need_resched = true;
	}

	/**
	 * True if the idle task must run through its loop: once each time that need_resched was set; otherwise it continues
	 * to sleep.
	 */
	leaveIdle(idle: task_struct): boolean {
		const cpu = this.cpus[idle.on_cpu]!;
		const { need_resched } = cpu;
		cpu.need_resched = false;
		return need_resched;
	}

	/** The fake signal of livepatch: the task leaves an interruptible sleep; a user task also leaves the kernel. */
	set_notify_signal(task: task_struct): void {
		task.thread_flags |= TIF_NOTIFY_SIGNAL;
		this.wake_up_state(task, TASK_INTERRUPTIBLE);
	}

	/** Wakes a sleeping task at a future jiffy. A task has one timer: a later call replaces it. */
	set_timer(task: task_struct, jiffy: number): void {
		task.wakeAt = jiffy;
		const due = this.timers.get(jiffy);
		if (due === undefined) this.timers.set(jiffy, [task]);
		else due.push(task);
	}

	/** Puts a task to sleep until `wait` is ready, which is checked once per jiffy. */
	wait_event(task: task_struct, wait: Wait): void {
		task.waitsFor = wait;
		task.__state = TASK_UNINTERRUPTIBLE;
		this.waiters.add(task);
		this.deschedule(task);
	}

	#wakeWaiters(): void {
		for (const task of this.waiters) {
			if (task.waitsFor?.ready()) this.wake_up_state(task, -1);
		}
	}

	/** Wakes the tasks whose condition is true, and those whose timer is due, in pid order. */
	tick(): void {
		this.jiffies++;
		this.#wakeWaiters();
		const due = this.timers.get(this.jiffies);
		if (due === undefined) return;
		this.timers.delete(this.jiffies);
		for (const task of due.sort((a, b) => a.pid - b.pid)) {
			if (task.wakeAt === this.jiffies) this.wake_up_state(task, -1);
		}
	}

	/** exit_tasks_rcu_start(): whom a grace period of RCU tasks must not forget, although the task list has them no more. */
	exit_tasks_rcu(): readonly task_struct[] {
		return this.exiting;
	}

	/** release_task(): removes a task from the list that goes on in do_exit(). */
	release_task(task: task_struct): void {
		this.#takeOff(task, this.tasks);
		task.exiting = true;
		const behind = this.exiting.findIndex(({ pid }) => pid > task.pid);
		this.exiting.splice(behind < 0 ? this.exiting.length : behind, 0, task);
	}

	/** Removes a dead task from the list. */
	remove(task: task_struct): void {
		task.__state = TASK_DEAD;
		this.waiters.delete(task);
		this.deschedule(task);
		this.#takeOff(task, task.exiting ? this.exiting : this.tasks);
	}

	#takeOff(task: task_struct, list: task_struct[]): void {
		const index = list.indexOf(task);
		if (index < 0) throw new KlpemuError("NO_SUCH_TASK", `task '${task.comm}' is gone already`);
		list.splice(index, 1);
		if (list === this.tasks) this.structs?.unlisted(task);
	}
}
