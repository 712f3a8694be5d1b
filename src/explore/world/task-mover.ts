import { KlpemuError } from "../../base/index.js";
import { judgeOops } from "../../consistency/index.js";
import { type Cpu, type Fault, GS_BASE, RAX, RIP, type Stop } from "../../cpu/index.js";
import { COND_RESCHED, SPIN_LOCK } from "../../linux/exports/index.js";
import { MCOUNT_INSN_SIZE } from "../../linux/ftrace/index.js";
import { runGuest } from "../../linux/guest/index.js";
import { runStraight } from "../../linux/lib/index.js";
import { type StackTrace, TASK_RUNNING, type task_struct } from "../../linux/sched/index.js";
import { toU64 } from "../../memory/index.js";
import type { Model } from "../model.js";
import { CoreWalk } from "./core-walk.js";
import type { GuestContext } from "./decisive.js";
import type { GuestCode } from "./guest-code.js";
import { watchedSites } from "./guest-visible.js";
import { HandlerWalk } from "./handler-walk.js";
import { do_task_dead, finishSwitch, leaveKernel, leftKernel } from "./leave.js";
import { functionOf, sameFrames, stackView, whereabouts } from "./stack-view.js";
import { SpinLoop, type TaskData } from "./task-data.js";
import type { TaskMove } from "./task-move.js";
import { captureContext, restoreContext, type TaskState } from "./task-state.js";

/** Gates behind which tasks run functions of the core. */
const ENTERS_CORE: readonly string[] = ["exit_to_user_mode", "do_idle", ...COND_RESCHED];

/** Largest number of instructions that a task may execute in one move. */
const LIMIT = 1_000_000;
/** The same, for one that is known to be in a loop without an end. */
const LIMIT_AGAIN = 5_000;

/** What a task does in one move: first it may enter the kernel or wake up. */
function behind(first: string, then: string): string {
	return first === "" ? then : `${first}, ${then}`;
}

/** Runs tasks on the Cpu, from one change that kernel code can see to the next. */
export class TaskMover {
	readonly #model: Model;
	readonly #cpu: Cpu;
	readonly #handler: HandlerWalk;
	readonly #walk: (task: task_struct) => StackTrace;
	readonly #data: TaskData;
	/** Tasks that were seen in a loop without an end. */
	readonly #endless = new Set<string>();
	/** Of a livepatch core that is guest code. */
	readonly #core: CoreWalk | undefined;

	/** `code` notes the accesses of such a core. */
	constructor(model: Model, code: GuestCode, data: TaskData) {
		this.#model = model;
		this.#data = data;
		this.#core = model.machine.klp.code && new CoreWalk(model.machine, model.machine.klp.code, code);
		const { machine } = model;
		this.#cpu = machine.cpu;
		// Most changed text is restored before a task runs it.
		machine.icache.hold();
		this.#handler = new HandlerWalk(machine);
		this.#walk = (task) => machine.unwinder.walk(task);
	}

	walk(task: task_struct): StackTrace {
		return this.#walk(task);
	}

	restore(task: task_struct, context: GuestContext): void {
		restoreContext(this.#model.machine, task, context);
	}

	/** `state`: the present state of the task; its registers and stack are in the machine. */
	move(task: task_struct, state: TaskState): TaskMove {
		const { machine } = this.#model;
		machine.sched.current = task;
		if (machine.exports.kprobes.armed) {
			throw new KlpemuError("EXPLORE_UNSUPPORTED", "a kprobe or kretprobe is registered: that cannot be explored", {
				hint: "all tasks share its instances, and a move of a task changes nothing that other tasks see; klpemu run does it",
			});
		}
		this.#core?.begin(state.core);
		if (this.#core !== undefined) return this.#moveWithCore(task, state);
		if (state.handler !== undefined) return this.#handler.step(task, state.handler);
		if (task.preempt_count > 0 && (task.idle || this.#leaves(task))) return finishSwitch(machine, task);
		if (task.idle) return leaveKernel(machine, task);
		return this.#run(task, state, this.#enter(task));
	}

	/** The task is in guest code of the kernel now, and awake. */
	#enter(task: task_struct): string {
		const { machine } = this.#model;
		let label = "";
		if (task.mode === "user") {
			machine.executor.enterKernel(task);
			label = "enters the kernel";
		}
		if (task.__state !== TASK_RUNNING) {
			machine.sched.wake_up_state(task, -1);
			label = "wakes up";
		}
		return label;
	}

	/** The core is guest code like any other, and idle tasks run it in their loop. */
	#moveWithCore(task: task_struct, state: TaskState): TaskMove {
		return { ...this.#run(task, state, this.#enter(task)), core: this.#core!.place };
	}

	/** It is in klp_update_patch_state(), at the end of its system call. Otherwise guest code has disabled preemption. */
	#leaves(task: task_struct): boolean {
		return this.#model.machine.symbolize(task.regs.kaddr(RIP)) === "exit_to_user_mode";
	}

	#run(task: task_struct, from: TaskState, label: string): TaskMove {
		const { machine } = this.#model;
		const cpu = this.#cpu;
		this.#begin(task);
		const start = stackView(this.#model, from.entries);
		const sites = watchedSites(this.#model);
		const sleeps = task.slept ? [] : (task.program.sleepAt?.() ?? []);
		let known = sameFrames(machine, cpu.state.kaddr(RIP));
		const isEndless = this.#endless.has(task.comm);
		const limit = isEndless ? LIMIT_AGAIN : LIMIT;
		const spin = new SpinLoop(cpu);
		// It goes back to where it was: its turns are not told apart.
		let context = isEndless && label === "" ? captureContext(machine, task) : undefined;
		let wrote = false;
		for (let i = 0; i < limit; i++) {
			const ip = cpu.state.kaddr(RIP);
			if (spin.isTurn(ip, wrote)) {
				this.#store(task);
				return { label: behind(label, `spins in ${functionOf(machine.symbolize(ip))}`) };
			}
			if (context === undefined && spin.isQuiet) {
				this.#store(task);
				context = captureContext(machine, task);
			}
			const read = i > 0 ? this.#data.pointAt(ip) : undefined;
			if (read !== undefined) {
				this.#store(task);
				return { label: behind(label, `comes to a read of ${read}`) };
			}
			if (i > 0 && sleeps.includes(ip)) return this.#sleep(task, label);
			if (this.#core?.isPoint(task)) {
				this.#store(task);
				return { label: behind(label, this.#core.label) };
			}
			if (this.#core === undefined && ip === this.#handler.gate) {
				this.#store(task);
				return this.#handler.enter(task);
			}
			wrote = this.#data.note(task, ip);
			const stop = this.#step(task);
			if (stop !== undefined) return stop;
			const next = cpu.state.kaddr(RIP);
			if (this.#core?.hasChosen(next)) {
				this.#core.leave();
				this.#store(task);
				return { label: behind(label, `returns from klp_ftrace_handler`) };
			}
			const passed = sites.has(ip) && next === ((ip + MCOUNT_INSN_SIZE) | 0);
			if (!passed && next >= known.start && next < known.end) continue;
			this.#store(task);
			const trace = this.#walk(task);
			if (passed || stackView(this.#model, trace.reliable ? trace.entries : undefined) !== start) {
				if (sleeps.includes(next)) return this.#sleep(task, label);
				return { label: behind(label, whereabouts(machine, next, passed)) };
			}
			known = sameFrames(machine, next);
		}
		this.#endless.add(task.comm);
		if (context !== undefined) this.restore(task, context);
		const where = functionOf(machine.symbolize(task.regs.kaddr(RIP)));
		const endless = `runs for more than ${LIMIT} instructions without a call: what comes behind is not known`;
		return { label: behind(label, `runs on and on in ${where}`), endless };
	}

	/** Puts a task on the Cpu. */
	#begin(task: task_struct): void {
		this.#model.machine.icache.deliver();
		this.#cpu.state.words.set(task.regs.words);
		this.#cpu.state.words[GS_BASE] = toU64(this.#model.machine.percpu.areaOf(task));
	}

	#store(task: task_struct): void {
		task.regs.words.set(this.#cpu.state.words);
	}

	/** One instruction; a result if the move ends with it. */
	#step(task: task_struct): TaskMove | undefined {
		const back = this.#core?.isBack(this.#cpu.state.kaddr(RIP));
		if (back !== undefined) {
			this.#store(task);
			return this.#backFromCore(task, back);
		}
		const passed = this.#data.beginGate(task);
		try {
			const stop = this.#core?.step(task) ?? runGuest(this.#cpu, 1);
			return this.#stopped(task, stop);
		} finally {
			passed?.();
		}
	}

	#stopped(task: task_struct, stop: Stop): TaskMove | undefined {
		const { machine } = this.#model;
		if (stop.kind === "gate") {
			this.#store(task);
			return this.#gate(task, stop.gate.name);
		}
		if (stop.kind !== "fault") return undefined;
		if (stop.fault.kind === "breakpoint" && machine.text_poke.poke_int3_handler(this.#cpu.state)) return undefined;
		if (machine.oops.handle_bug(task, stop.fault, this.#cpu.state)) return undefined;
		this.#store(task);
		return this.#oops(task, stop.fault);
	}

	#oops(task: task_struct, fault: Fault): TaskMove {
		const { rip } = this.#cpu.state;
		this.#model.machine.oops.die(task, fault, rip);
		const oops = judgeOops(this.#model.machine, task, fault, rip);
		return { label: oops.message.slice(task.comm.length + 1), oops };
	}

	#sleep(task: task_struct, label: string): TaskMove {
		this.#store(task);
		task.slept = true;
		this.#model.machine.sched.fallAsleep(task);
		const where = functionOf(this.#model.machine.symbolize(this.#cpu.state.kaddr(RIP)));
		return { label: behind(label, `falls asleep in ${where}`) };
	}

	/** The core's function has returned to the gate at which the task has called it. */
	#backFromCore(task: task_struct, gate: string): TaskMove {
		this.#core!.leave();
		if (COND_RESCHED.includes(gate)) {
			task.regs.words[RAX] = 0n;
			return { label: "cond_resched()", yields: true };
		}
		const left = leftKernel(task);
		if (task.idle) this.#model.machine.executor.enterKernel(task);
		return left;
	}

	#gate(task: task_struct, name: string): TaskMove | undefined {
		const { machine } = this.#model;
		if (name === "exit_to_user_mode" && task.exiting) return do_task_dead(task);
		if (this.#core !== undefined && ENTERS_CORE.includes(name)) {
			const tries = COND_RESCHED.includes(name);
			if (!tries) task.rcu_tasks_holdout = false;
			if (tries ? !machine.klp.klp_sched_try_switch_key : !task.pending) return this.#backFromCore(task, name);
			// The same move goes on in the core.
			this.#core.enter(task, name);
			return undefined;
		}
		if (name === "exit_to_user_mode") return leaveKernel(machine, task);
		if (COND_RESCHED.includes(name)) {
			if (machine.klp.klp_sched_try_switch_key) runStraight(machine.klp.__klp_sched_try_switch());
			return { label: "cond_resched()", yields: true };
		}
		if (SPIN_LOCK.includes(name)) {
			// States do not hold the memory that tasks share, so nobody waits: the lock keeps only its holder on its CPU.
			task.preempt_count++;
			return { label: `${name}()` };
		}
		if (/^klp_shadow_/.test(name)) {
			throw new KlpemuError("EXPLORE_UNSUPPORTED", `${task.comm} calls ${name}(): that cannot be explored`, {
				hint: "it changes what all tasks share, and a move of a task changes that task only; klpemu run does it",
			});
		}
		machine.executor.stoppedAt(name, task);
		if (task.inHost !== undefined) {
			throw new KlpemuError(
				"EXPLORE_UNSUPPORTED",
				`${task.comm} calls ${name}(), which may wait: that cannot be explored`,
			);
		}
		if (name === "kthread_wait") return { label: "goes to sleep" };
		// If it does not sleep, it has given its CPU up for a moment.
		return { label: "schedule()", yields: task.__state === TASK_RUNNING };
	}
}
