import { type Cpu, type Fault, GS_BASE, RFLAGS_RESET, RSP, type Stop } from "../../cpu/index.js";
import { type Kaddr, toU64 } from "../../memory/index.js";
import type { EmulatedCpu, Sched } from "./sched.js";
import type { KernelStacks } from "./stacks.js";
import { preemptible, type task_struct } from "./task.js";

/** So long a task with preemption disabled may go on, and how often it is looked at, in instructions. */
const PREEMPT_OFF_MAX = 100_000;
const PREEMPT_OFF_STEP = 8;

/** What happens after a stop. */
export type Continuation = "go-on" | "end-slice";

export interface ExecutorHooks {
	/** Where a task of each kind begins. */
	readonly entry: { readonly user: Kaddr; readonly kthread: Kaddr; readonly idle: Kaddr };
	/** The per-CPU area, for gs. */
	percpu(cpu: number): Kaddr;
	/** A gate asked to stop. */
	gate(name: string, task: task_struct): Continuation;
	/** The task is in a kernel function in TypeScript (`task.inHost`): goes on there. */
	goOn(task: task_struct): Continuation;
	/** An int3: true when somebody was patching there and rip has been set. */
	int3(): boolean;
	/** The guest did what no kernel survives. */
	oops(task: task_struct, fault: Fault, rip: bigint): void;
	/** The task has reached the function it was to sleep in. */
	sleeping(task: task_struct): void;
}

/** Runs tasks on the Cpu: makes their stacks, enters the kernel for them, and deals with every stop. */
export class Executor {
	readonly #cpu: Cpu;
	readonly #sched: Sched;
	readonly #stacks: KernelStacks;
	readonly #hooks: ExecutorHooks;

	constructor(cpu: Cpu, sched: Sched, stacks: KernelStacks, hooks: ExecutorHooks) {
		this.#cpu = cpu;
		this.#sched = sched;
		this.#stacks = stacks;
		this.#hooks = hooks;
	}

	/**
	 * Runs `task`, which is on `cpu`, for `budget` instructions at most; for a few more when it is in an ftrace call-back then, as
	 * preemption is disabled there.
	 */
	runSlice(cpu: EmulatedCpu, task: task_struct, budget: number): void {
		this.#sched.current = task;
		if (task.stack === undefined || task.mode !== "kernel") this.enterKernel(task);
		const state = this.#cpu.state;
		task.regs.words[GS_BASE] = toU64(this.#hooks.percpu(cpu.id));
		state.words.set(task.regs.words);
		const stops = task.slept ? undefined : task.program.sleepAt?.();
		for (const address of stops ?? []) this.#cpu.addBreakpoint(toU64(address));
		let left = budget;
		try {
			if (task.inHost !== undefined && this.#hooks.goOn(task) === "end-slice") return;
			while (left > -PREEMPT_OFF_MAX && (left > 0 || !preemptible(task))) {
				const stop = this.#cpu.run(left > 0 ? left : PREEMPT_OFF_STEP);
				left -= stop.executed;
				this.#sched.instructions += stop.executed;
				if (this.#handle(task, stop) === "end-slice") break;
			}
		} finally {
			for (const address of stops ?? []) this.#cpu.removeBreakpoint(toU64(address));
			task.regs.words.set(state.words);
		}
	}

	/** The per-CPU area of a CPU, for gs. */
	percpu(cpu: number): Kaddr {
		return this.#hooks.percpu(cpu);
	}

	#handle(task: task_struct, stop: Stop): Continuation {
		switch (stop.kind) {
			case "budget":
				return "go-on";
			case "gate":
				// Whoever looks at the task's stack from the gate needs its registers.
				task.regs.words.set(this.#cpu.state.words);
				return this.#hooks.gate(stop.gate.name, task);
			case "breakpoint":
				task.slept = true;
				this.#hooks.sleeping(task);
				return "end-slice";
			case "fault":
				if (stop.fault.kind === "breakpoint" && this.#hooks.int3()) return "go-on";
				this.#hooks.oops(task, stop.fault, this.#cpu.state.rip);
				return "end-slice";
		}
	}

	/** Puts a task at its entry into the kernel, with an empty stack. */
	enterKernel(task: task_struct): void {
		const top = this.#stacks.emptyStack(task);
		const { entry } = this.#hooks;
		const start = task.idle ? entry.idle : task.kthread ? entry.kthread : entry.user;
		task.regs.words.fill(0n);
		task.regs.rflags = RFLAGS_RESET;
		task.regs.rip = toU64(start);
		task.regs.setKaddr(RSP, top);
		task.nextCall = 0;
		task.mode = "kernel";
	}
}
