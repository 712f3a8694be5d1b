import { KlpemuError } from "../base/index.js";
import { type Cpu, GS_BASE, RFLAGS_RESET, RSP, type Stop } from "../cpu/index.js";
import type { TextPoke } from "../linux/ftrace/index.js";
import type { HeapCheck, HostCalls, Oops } from "../linux/guest/index.js";
import {
	type Continuation,
	type EmulatedCpu,
	type KernelStacks,
	type PerCpu,
	preemptible,
	type Sched,
	type task_struct,
} from "../linux/sched/index.js";
import { type Kaddr, toU64 } from "../memory/index.js";
import type { SwitchPoints } from "./switch-points.js";

/**
 * A task may overrun its slice by at most this many instructions while preemption is disabled; it is checked again
 * every PREEMPT_OFF_STEP instructions.
 */
const PREEMPT_OFF_MAX = 100_000;
const PREEMPT_OFF_STEP = 8;

interface Parts {
	readonly cpu: Cpu;
	readonly sched: Sched;
	readonly stacks: KernelStacks;
	readonly percpu: PerCpu;
	readonly text_poke: TextPoke;
	readonly oops: Oops;
	readonly hostCalls: HostCalls;
	readonly heapCheck: HeapCheck;
	readonly switchPoints: SwitchPoints;
	/** Address at which a task of each kind enters the kernel. */
	readonly entry: { readonly user: Kaddr; readonly kthread: Kaddr; readonly idle: Kaddr };
}

/** Runs tasks on the Cpu: enters the kernel for them, and handles every stop. */
export class Executor {
	readonly #parts: Parts;

	constructor(parts: Parts) {
		this.#parts = parts;
	}

	/**
	 * Runs `task`, which is on `cpu`, for `budget` instructions at most. If it is in an ftrace call-back then, it runs
	 * a few more, because preemption is disabled there. Throws `PREEMPTION_DISABLED` if that does not end.
	 */
	runSlice(emulated: EmulatedCpu, task: task_struct, budget: number): void {
		const { cpu, sched, percpu, hostCalls, heapCheck } = this.#parts;
		sched.current = task;
		if (task.stack === undefined || task.mode !== "kernel") this.enterKernel(task);
		const { state } = cpu;
		task.regs.words[GS_BASE] = toU64(percpu.per_cpu_offset(emulated.id));
		state.words.set(task.regs.words);
		const stops = task.slept ? undefined : task.program.sleepAt?.();
		for (const address of stops ?? []) cpu.addBreakpoint(toU64(address));
		let left = budget;
		try {
			if (task.inHost !== undefined && hostCalls.goOn(task) === "end-slice") return;
			while (left > 0 || !preemptible(task)) {
				if (left <= -PREEMPT_OFF_MAX) {
					throw new KlpemuError("PREEMPTION_DISABLED", `task '${task.comm}' does not enable preemption again`, {
						hint: `it has executed ${PREEMPT_OFF_MAX} instructions with preemption disabled`,
					});
				}
				const stop = heapCheck.runTask(left > 0 ? left : PREEMPT_OFF_STEP);
				left -= stop.executed;
				sched.instructions += stop.executed;
				if (this.#handle(task, stop) === "end-slice") break;
			}
		} finally {
			for (const address of stops ?? []) cpu.removeBreakpoint(toU64(address));
			task.regs.words.set(state.words);
		}
	}

	#handle(task: task_struct, stop: Stop): Continuation {
		const { cpu, sched, text_poke, oops } = this.#parts;
		switch (stop.kind) {
			case "budget":
				return "go-on";
			case "gate":
				// The gate may walk the task's stack, which begins at its registers.
				task.regs.words.set(cpu.state.words);
				return this.stoppedAt(stop.gate.name, task);
			case "breakpoint":
				task.slept = true;
				sched.fallAsleep(task);
				return "end-slice";
			case "fault":
				if (stop.fault.kind === "breakpoint" && text_poke.poke_int3_handler(cpu.state)) return "go-on";
				if (oops.handle_bug(task, stop.fault, cpu.state)) return "go-on";
				oops.die(task, stop.fault, cpu.state.rip);
				return "end-slice";
		}
	}

	/** Handles a stop of the Cpu at a gate. */
	stoppedAt(gate: string, task: task_struct): Continuation {
		const { switchPoints, hostCalls } = this.#parts;
		const point = switchPoints.get(gate);
		return point === undefined ? hostCalls.enter(gate, task) : point(task);
	}

	/** Puts a task at its entry into the kernel, with an empty stack. */
	enterKernel(task: task_struct): void {
		const { stacks, entry } = this.#parts;
		const top = stacks.emptyStack(task);
		const start = task.idle ? entry.idle : task.kthread ? entry.kthread : entry.user;
		task.regs.words.fill(0n);
		task.regs.rflags = RFLAGS_RESET;
		task.regs.rip = toU64(start);
		task.regs.setKaddr(RSP, top);
		task.nextCall = 0;
		task.mode = "kernel";
	}
}
