import { type Cpu, type GatePage, RAX, RDI } from "../cpu/index.js";
import { COND_RESCHED, jiffiesLeft, SCHEDULE_TIMEOUT, timeoutOf } from "../linux/exports/index.js";
import type { Livepatch } from "../linux/klp/index.js";
import { type Kernel, type PointObserver, runStraight, visitor } from "../linux/lib/index.js";
import {
	type Continuation,
	type KernelStacks,
	type Sched,
	switchedVoluntarily,
	TASK_INTERRUPTIBLE,
	TASK_RUNNING,
	TIF_NOTIFY_SIGNAL,
	type task_struct,
} from "../linux/sched/index.js";

/** The action of a task at each gate where it may leave its CPU, by the name of the gate. */
export type SwitchPoints = ReadonlyMap<string, (task: task_struct) => Continuation>;

/** What schedule_timeout() does when its task runs again: it returns the jiffies that are left. */
// biome-ignore lint/correctness/useYield: there is nothing between.
function* timeLeft(task: task_struct, sched: Sched, expire: number): Kernel<void> {
	task.regs.words[RAX] = jiffiesLeft(expire, sched);
}

/** Declares the gates where tasks switch, each with its action. */
export function declareSwitchPoints(
	gates: GatePage,
	parts: {
		readonly cpu: Cpu;
		readonly sched: Sched;
		readonly stacks: KernelStacks;
		readonly klp: Livepatch;
		readonly observers: Iterable<PointObserver>;
	},
): SwitchPoints {
	const { cpu, sched, stacks, klp, observers } = parts;
	const run = (code: Kernel<void>) => runStraight(code, visitor(observers));
	const points = new Map<string, (task: task_struct) => Continuation>();
	/** `stops`: true if the Cpu stops at the gate. */
	const point = (name: string, stops: () => boolean, then: (task: task_struct) => Continuation) => {
		gates.add({ name, passes: "state", call: stops });
		points.set(name, then);
	};
	/** The task sleeps there, or leaves the kernel, voluntarily. */
	const leaves = (name: string, then: (task: task_struct) => Continuation) => {
		point(
			name,
			() => true,
			(task) => {
				switchedVoluntarily(task);
				return then(task);
			},
		);
	};
	const sleep = (task: task_struct, state: number): Continuation => {
		task.__state = state;
		sched.deschedule(task);
		return "end-slice";
	};

	const exit = (task: task_struct): Continuation => {
		sched.remove(task);
		stacks.release(task);
		return "end-slice";
	};

	// exit_to_user_mode_loop(): the place where user tasks switch.
	leaves("exit_to_user_mode", (task) => {
		// do_task_dead()
		if (task.exiting) return exit(task);
		run(klp.klp_update_patch_state(task));
		task.thread_flags &= ~TIF_NOTIFY_SIGNAL;
		task.mode = "user";
		return "end-slice";
	});
	leaves("do_idle", (task) => {
		if (sched.leaveIdle(task)) run(klp.klp_update_patch_state(task));
		return "end-slice";
	});
	leaves("kthread_wait", (task) => {
		const after = task.program.afterRound?.();
		if (after === "again") return "go-on";
		if (after === "exit") return exit(task);
		if (after !== undefined) return sleep(task, after);
		sched.set_timer(task, sched.jiffies + (task.program.sleepRounds ?? 1));
		return sleep(task, TASK_INTERRUPTIBLE);
	});
	// Without set_current_state() before it, the task stays in the queue.
	const schedule = (task: task_struct): Continuation => {
		const { sleep_state = TASK_RUNNING } = task;
		task.sleep_state = undefined;
		// signal_pending_state()
		const signal = (sleep_state & TASK_INTERRUPTIBLE) !== 0 && (task.thread_flags & TIF_NOTIFY_SIGNAL) !== 0;
		if (sleep_state !== TASK_RUNNING && !signal) return sleep(task, sleep_state);
		sched.yield(task);
		return "end-slice";
	};
	leaves("schedule", schedule);
	for (const [name, state] of SCHEDULE_TIMEOUT) {
		leaves(name, (task) => {
			if (state !== undefined) task.sleep_state = state;
			const expire = sched.jiffies + timeoutOf(task.regs.words[RDI]!);
			const continuation = schedule(task);
			if (task.__state !== TASK_RUNNING && Number.isFinite(expire)) sched.set_timer(task, expire);
			task.inHost = timeLeft(task, sched, expire);
			return continuation;
		});
	}
	for (const name of COND_RESCHED) {
		const stops = () => {
			const resched = sched.should_resched(sched.current);
			cpu.state.words[RAX] = resched ? 1n : 0n;
			return klp.klp_sched_try_switch_key || resched;
		};
		point(name, stops, (task) => {
			if (klp.klp_sched_try_switch_key) run(klp.__klp_sched_try_switch());
			return sched.cond_resched(task) ? "end-slice" : "go-on";
		});
	}
	return points;
}
