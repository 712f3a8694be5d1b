import { declareState } from "../../base/index.js";
import {
	done,
	EADDRINUSE,
	EBUSY,
	EINVAL,
	errnoName,
	type Kernel,
	list_is_singular,
	place,
	turn,
} from "../lib/index.js";
import {
	synchronize_rcu,
	TASK_INTERRUPTIBLE,
	TIF_PATCH_PENDING,
	type task_struct,
	type work_struct,
} from "../sched/index.js";
import type { Core } from "./design.js";
import {
	KLP_TRANSITION_IDLE,
	KLP_TRANSITION_PATCHED,
	KLP_TRANSITION_UNPATCHED,
	type klp_func,
	type klp_patch,
} from "./types.js";

const SIGNALS_TIMEOUT = 15;

/** The range of code that a task must not be in: `[address, address + size)`. */
export function onStack(entries: readonly number[], address: number, size: number): boolean {
	return entries.some((entry) => entry >= address && entry < address + size);
}

/** kernel/livepatch/transition.c */
export class Transition {
	static readonly state = declareState("Transition", {
		fields: [
			...["klp_transition_patch", "klp_target_state", "klp_signals_cnt"],
			...["klp_sched_try_switch_key", "klp_transition_work"],
		],
	});

	readonly #klp: Core;
	klp_transition_patch: klp_patch | undefined = undefined;
	klp_target_state = KLP_TRANSITION_IDLE;
	klp_signals_cnt = 0;
	/** cond_resched() tries to switch the current task, see klp_cond_resched_enable(). */
	klp_sched_try_switch_key = false;

	readonly klp_transition_work: work_struct = {
		name: "klp_transition_work_fn",
		func: () => this.#klp_transition_work_fn(),
	};

	constructor(klp: Core) {
		this.#klp = klp;
	}

	get #direction(): string {
		return this.klp_target_state === KLP_TRANSITION_PATCHED ? "patching" : "unpatching";
	}

	*#klp_transition_work_fn(): Kernel<void> {
		yield* this.#klp.klp_mutex.lock();
		if (this.klp_transition_patch !== undefined) yield* this.klp_try_complete_transition();
		this.#klp.klp_mutex.unlock();
	}

	/**
	 * Waits until every CPU has left code that runs with preemption disabled: each handler that was running has
	 * finished.
	 */
	*klp_synchronize_transition(): Kernel<void> {
		const { env } = this.#klp;
		// schedule_on_each_cpu() can fail with -ENOMEM, which the kernel does not check; no CPU is waited for then.
		if (env.faults.should_fail("schedule_on_each_cpu(klp_sync)")) return;
		yield* synchronize_rcu(env.sched, "klp_synchronize_transition");
	}

	/** Cleans up after all tasks have switched. The order matters, see the comments. */
	*klp_complete_transition(): Kernel<void> {
		const { env, print, design } = this.#klp;
		const patch = this.klp_transition_patch!;
		const target = this.klp_target_state;
		print.pr_debug(`'${patch.name}': completing ${this.#direction} transition`);

		yield* design.unpatch_invisible(this.#klp, patch, target);
		// Unpatching: otherwise a handler that is still at a removed func could choose it after transition is cleared.
		if (target === KLP_TRANSITION_UNPATCHED) yield* this.klp_synchronize_transition();
		yield* design.clear_transition(this.#klp, patch);
		// Patching: a handler that has read transition == true must not read KLP_TRANSITION_IDLE afterwards.
		if (target === KLP_TRANSITION_PATCHED) yield* this.klp_synchronize_transition();

		for (const task of [...env.sched.all()]) {
			env.dmesg.WARN_ON_ONCE(task.pending, "klp_complete_transition: TIF_PATCH_PENDING");
			task.patch_state = KLP_TRANSITION_IDLE;
		}
		yield "klp_complete_transition: tasks are KLP_TRANSITION_IDLE";
		for (const obj of patch.obj_list) {
			if (!this.#klp.klp_is_object_loaded(obj)) continue;
			if (target === KLP_TRANSITION_PATCHED) yield* this.#klp.klp_post_patch_callback(obj);
			else yield* this.#klp.klp_post_unpatch_callback(obj);
		}
		print.pr_notice(`'${patch.name}': ${this.#direction} complete`);
		this.klp_target_state = KLP_TRANSITION_IDLE;
		this.klp_transition_patch = undefined;
		yield done("klp_complete_transition: done");
	}

	/** Undoes an enable that failed before any task could switch. */
	*klp_cancel_transition(): Kernel<void> {
		const { env, print } = this.#klp;
		if (
			env.dmesg.WARN_ON_ONCE(
				this.klp_target_state !== KLP_TRANSITION_PATCHED,
				"klp_cancel_transition: klp_target_state != KLP_TRANSITION_PATCHED",
			)
		)
			return;
		print.pr_debug(`'${this.klp_transition_patch!.name}': canceling patching transition, going to unpatch`);
		this.klp_target_state = KLP_TRANSITION_UNPATCHED;
		yield* this.klp_complete_transition();
	}

	/**
	 * Switches a task that cannot be in a patched function: the current one on its way out of the kernel, or an idle one. The
	 * flag is cleared before the target is read; klp_reverse_transition() relies on that order.
	 */
	*klp_update_patch_state(task: task_struct): Kernel<void> {
		if (!task.pending) return;
		const current = this.#klp.env.sched.current;
		// preempt_disable(): klp_reverse_transition() waits until a task that has cleared the flag has read the target,
		// too.
		current.preempt_count++;
		task.thread_flags &= ~TIF_PATCH_PENDING;
		yield "klp_update_patch_state: test_and_clear_tsk_thread_flag";
		task.patch_state = this.klp_target_state;
		current.preempt_count--;
		yield "klp_update_patch_state: patch_state";
	}

	/**
	 * klp_check_stack_func() of mainline: the function that this entry replaces, or, if unpatching, the entry itself.
	 */
	klp_check_stack_func(func: klp_func, entries: readonly number[]): boolean {
		if (this.klp_target_state === KLP_TRANSITION_UNPATCHED) return onStack(entries, func.new_func, func.new_size);
		const ops = this.#klp.patching.klp_find_ops(func.old_func)!;
		if (list_is_singular(ops.func_stack)) return onStack(entries, func.old_func, func.old_size);
		const prev = func.stack_node.next.owner;
		if (prev === undefined) {
			// The last entry of several: list_next_entry() gives the list head, and the kernel reads new_func and
			// new_size from the memory around the head in struct klp_ops. That is not an address of code, so it is
			// never on the stack.
			this.#klp.invalidRead(`klp_check_stack_func(${func.new_name}): list_next_entry() is the head of func_stack`);
			return false;
		}
		return onStack(entries, prev.new_func, prev.new_size);
	}

	#klp_check_stack(task: task_struct): { ret: number; old_name?: string } {
		const { env, design } = this.#klp;
		const trace = env.unwinder.stack_trace_save_tsk_reliable(task);
		if (trace === undefined) return { ret: -EINVAL };
		const old_name = design.check_stack(this.#klp, this.klp_transition_patch!, task, trace);
		return old_name === undefined ? { ret: 0 } : { ret: -EADDRINUSE, old_name };
	}

	#klp_check_and_switch_task(task: task_struct): { ret: number; old_name?: string } {
		if (task.on_cpu >= 0 && task !== this.#klp.env.sched.current) return { ret: -EBUSY };
		const checked = this.#klp_check_stack(task);
		if (checked.ret !== 0) return checked;
		task.thread_flags &= ~TIF_PATCH_PENDING;
		task.patch_state = this.klp_target_state;
		return checked;
	}

	/**
	 * Switches `task` if it sleeps outside of all affected functions, or is the caller. True if it is in the target
	 * state.
	 */
	*klp_try_switch_task(task: task_struct): Kernel<boolean> {
		const { print } = this.#klp;
		if (task.patch_state === this.klp_target_state) return true;
		if (!this.#klp.env.klp_have_reliable_stack) return false;
		const { ret, old_name } = this.#klp_check_and_switch_task(task);
		const who = `${task.comm}:${task.pid}`;
		switch (ret) {
			case 0:
				yield turn("klp_try_switch_task: patch_state");
				break;
			case -EBUSY:
				print.pr_debug(`klp_try_switch_task: ${who} is running`, "klp_try_switch_task");
				break;
			case -EINVAL:
				print.pr_debug(`klp_try_switch_task: ${who} has an unreliable stack`, "klp_try_switch_task");
				break;
			case -EADDRINUSE:
				print.pr_debug(`klp_try_switch_task: ${who} is sleeping on function ${old_name}`, "klp_try_switch_task");
				break;
			default:
				print.pr_debug(
					`klp_try_switch_task: Unknown error code (${errnoName(ret)}) when trying to switch ${who}`,
					"klp_try_switch_task",
				);
		}
		return ret === 0;
	}

	/** Called from cond_resched() by the current task while a transition runs. */
	*__klp_sched_try_switch(): Kernel<void> {
		const task = this.#klp.env.sched.current;
		if (!task.pending) return;
		yield "__klp_sched_try_switch: preempt_disable";
		if (!task.pending) return;
		yield* this.klp_try_switch_task(task);
	}

	/** for_each_process_thread() with tasklist_lock; for_each_possible_cpu() follows if the `idle` tasks have their turn, too. */
	*#lockedTasks(idle = false): Generator<task_struct, void, void> {
		const { sched } = this.#klp.env;
		sched.tasklist_lock = true;
		yield* sched.tasks;
		sched.tasklist_lock = false;
		if (idle) for (const cpu of sched.cpus) yield cpu.idle;
	}

	*#klp_send_signals(): Kernel<void> {
		const { env, print } = this.#klp;
		if (this.klp_signals_cnt === SIGNALS_TIMEOUT) print.pr_notice("signaling remaining tasks");
		for (const task of this.#lockedTasks()) {
			yield place("klp_send_signals", task.comm);
			if (!task.pending) continue;
			if (task.kthread) env.sched.wake_up_state(task, TASK_INTERRUPTIBLE);
			else env.sched.set_notify_signal(task);
			yield turn("klp_send_signals");
		}
	}

	/**
	 * Tries to switch all tasks that have not switched yet. Completes the transition if no task is left; otherwise
	 * tries again after a second.
	 */
	*klp_try_complete_transition(): Kernel<void> {
		const { env } = this.#klp;
		env.dmesg.WARN_ON_ONCE(
			this.klp_target_state === KLP_TRANSITION_IDLE,
			"klp_try_complete_transition: klp_target_state == KLP_TRANSITION_IDLE",
		);
		let complete = true;
		for (const task of this.#lockedTasks()) {
			// klp_try_switch_task() checks this too. With the check here, a task that has switched costs no time in
			// later passes and adds no yield: it stays switched while klp_mutex is held.
			if (task.patch_state === this.klp_target_state) continue;
			yield place("klp_try_complete_transition", task.comm, complete);
			if (!(yield* this.klp_try_switch_task(task))) complete = false;
		}
		yield* env.hotplug.lock.lock();
		for (const { idle: task, id: cpu, online } of env.sched.cpus) {
			yield place("klp_try_complete_transition", task.comm, complete);
			if (online) {
				if (!(yield* this.klp_try_switch_task(task))) {
					complete = false;
					env.sched.wake_up_if_idle(cpu);
				}
			} else if (task.patch_state !== this.klp_target_state) {
				task.thread_flags &= ~TIF_PATCH_PENDING;
				task.patch_state = this.klp_target_state;
				yield turn("klp_try_complete_transition: offline idle task");
			}
		}
		env.hotplug.lock.unlock();
		if (!complete) {
			if (this.klp_signals_cnt && this.klp_signals_cnt % SIGNALS_TIMEOUT === 0) yield* this.#klp_send_signals();
			this.klp_signals_cnt++;
			env.workqueue.schedule_delayed_work(this.klp_transition_work, env.sched.jiffies + env.HZ);
			return;
		}
		yield "klp_try_complete_transition: everybody has switched";
		this.klp_sched_try_switch_key = false;
		const patch = this.klp_transition_patch!;
		yield* this.klp_complete_transition();
		if (!patch.enabled) this.#klp.klp_free_patch_async(patch);
		else if (this.#klp.design.replacesOnCompletion(patch)) this.#klp.klp_free_replaced_patches_async(patch);
	}

	/** Sets TIF_PATCH_PENDING, so that tasks begin to switch. */
	*klp_start_transition(): Kernel<void> {
		const { env, print } = this.#klp;
		env.dmesg.WARN_ON_ONCE(
			this.klp_target_state === KLP_TRANSITION_IDLE,
			"klp_start_transition: klp_target_state == KLP_TRANSITION_IDLE",
		);
		print.pr_notice(`'${this.klp_transition_patch!.name}': starting ${this.#direction} transition`);
		for (const task of this.#lockedTasks(true)) {
			yield place("klp_start_transition", task.comm);
			if (task.patch_state === this.klp_target_state) continue;
			task.thread_flags |= TIF_PATCH_PENDING;
			yield turn("klp_start_transition: TIF_PATCH_PENDING");
		}
		this.klp_sched_try_switch_key = env.release.condReschedSwitches;
		this.klp_signals_cnt = 0;
		yield "klp_start_transition: klp_cond_resched_enable";
	}

	/**
	 * Puts all tasks in the initial state, then marks the funcs: a handler must not see a func in transition before its
	 * task has a state.
	 */
	*klp_init_transition(patch: klp_patch, state: number): Kernel<void> {
		const { env, print, design } = this.#klp;
		env.dmesg.WARN_ON_ONCE(
			this.klp_target_state !== KLP_TRANSITION_IDLE,
			"klp_init_transition: klp_target_state != KLP_TRANSITION_IDLE",
		);
		this.klp_transition_patch = patch;
		this.klp_target_state = state;
		print.pr_debug(`'${patch.name}': initializing ${this.#direction} transition`);
		for (const observer of env.observers) observer.transition?.("init", patch, state);
		const initial = state === KLP_TRANSITION_PATCHED ? KLP_TRANSITION_UNPATCHED : KLP_TRANSITION_PATCHED;
		for (const task of [...env.sched.all()]) {
			env.dmesg.WARN_ON_ONCE(
				task.patch_state !== KLP_TRANSITION_IDLE,
				"klp_init_transition: patch_state != KLP_TRANSITION_IDLE",
			);
			task.patch_state = initial;
		}
		// smp_wmb(): patch_state before func->transition; the handler reads them in the other order.
		yield "klp_init_transition: patch_state";
		yield* design.init_transition(this.#klp, patch, state);
	}

	/** Reverses a running transition. Callbacks are not run again. */
	*klp_reverse_transition(): Kernel<void> {
		const { env, print } = this.#klp;
		const patch = this.klp_transition_patch!;
		const direction =
			this.klp_target_state === KLP_TRANSITION_PATCHED ? "patching to unpatching" : "unpatching to patching";
		print.pr_debug(`'${patch.name}': reversing transition from ${direction}`);
		for (const task of [...env.sched.all()]) task.thread_flags &= ~TIF_PATCH_PENDING;
		yield "klp_reverse_transition: TIF_PATCH_PENDING cleared";
		// A task that has seen the flag set must have read klp_target_state before that changes.
		yield* this.klp_synchronize_transition();
		patch.enabled = !patch.enabled;
		this.klp_target_state =
			this.klp_target_state === KLP_TRANSITION_PATCHED ? KLP_TRANSITION_UNPATCHED : KLP_TRANSITION_PATCHED;
		// smp_wmb(): klp_target_state before TIF_PATCH_PENDING; klp_update_patch_state() reads them in the other order.
		yield "klp_reverse_transition: klp_target_state";
		for (const observer of env.observers) observer.transition?.("reverse", patch, this.klp_target_state);
		yield* this.klp_start_transition();
	}

	/** Called from copy_process() with the tasklist lock held: the child gets the patch state of its parent. */
	klp_copy_process(parent: task_struct, child: task_struct): void {
		child.thread_flags = (child.thread_flags & ~TIF_PATCH_PENDING) | (parent.thread_flags & TIF_PATCH_PENDING);
		child.patch_state = parent.patch_state;
	}

	/** Switches all tasks without any check. The administrator is responsible for the result. */
	*klp_force_transition(): Kernel<void> {
		const { print, design } = this.#klp;
		const patch = this.klp_transition_patch!;
		print.pr_warn("forcing remaining tasks to the patched state");
		for (const task of this.#lockedTasks(true)) {
			yield place("klp_force_transition", task.comm);
			yield* this.klp_update_patch_state(task);
		}
		if (this.klp_target_state === KLP_TRANSITION_UNPATCHED) patch.forced = true;
		else for (const other of this.#klp.klp_patches) if (design.forceMarks(patch, other)) other.forced = true;
	}
}
