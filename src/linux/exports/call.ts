import { KlpemuError } from "../../base/index.js";
import { ARGUMENT_REGISTERS, type Cpu, type Fault, GS_BASE, RAX, RFLAGS_RESET, RSP } from "../../cpu/index.js";
import { type Kaddr, toU64 } from "../../memory/index.js";
import type { Kernel } from "../lib/index.js";
import type { task_struct } from "../sched/index.js";

/** Instructions of one call after which it is called endless. */
const ENDLESS = 200_000_000;
const SLICE = 1_000_000;

export interface GuestCallsEnvironment {
	readonly cpu: Cpu;
	/** Labels of asm/entry_64.S. */
	readonly call_from_host: Kaddr;
	readonly host_bottom: Kaddr;
	/** The task that executes. */
	current(): task_struct;
	/** The stack pointer of the task's empty stack, which is mapped if it was not yet. */
	emptyStack(task: task_struct): Kaddr;
	percpu(cpu: number): Kaddr;
	/** Instructions that were executed. */
	executed(count: number): void;
	/** A gate has stopped the Cpu, with the task's registers in `task.regs`: runs what it stands for. */
	gate(name: string, task: task_struct): Kernel<void>;
	/** An int3: true when somebody was patching there and rip has been set. */
	int3(): boolean;
	/** The guest did what no kernel survives. Throws. */
	oops(task: task_struct, fault: Fault, rip: bigint): never;
}

/**
 * Calls from TypeScript into guest code, by the task that executes: a module's init, a livepatch's callback, a sysfs show(). The
 * call is kernel code like any other: it may sleep in a gate, and other tasks run meanwhile.
 *
 * Such calls nest: guest code reaches a gate, its host function calls guest code again. The Cpu is never entered twice, for each
 * gate that does so has stopped it before. What counts while the host runs are the registers in `task.regs`; the new frame goes
 * on the same stack below them, so that an unwinder sees all of it.
 */
export class GuestCalls {
	readonly #env: GuestCallsEnvironment;

	constructor(env: GuestCallsEnvironment) {
		this.#env = env;
	}

	/** rax of `func(args)`. Throws `GUEST_ENDLESS`, and what {@link GuestCallsEnvironment.oops} throws. */
	*call(func: Kaddr, ...args: readonly bigint[]): Kernel<bigint> {
		const task = this.#env.current();
		const { mode } = task;
		const saved = task.regs.words.slice();
		this.#enter(task, func, args);
		task.mode = "kernel";
		const result = yield* this.#run(task);
		task.mode = mode;
		task.regs.words.set(saved);
		this.#env.cpu.state.words.set(saved);
		return result;
	}

	#enter(task: task_struct, func: Kaddr, args: readonly bigint[]): void {
		const { cpu, call_from_host, host_bottom, emptyStack, percpu } = this.#env;
		const { regs } = task;
		const nested = task.mode === "kernel";
		if (!nested) {
			regs.words.fill(0n);
			regs.rflags = RFLAGS_RESET;
			// Where a call would return to is looked up as the address before it.
			regs.rip = toU64((host_bottom + 1) | 0);
			regs.setKaddr(RSP, emptyStack(task));
		}
		regs.words[GS_BASE] = toU64(percpu(Math.max(task.on_cpu, 0)));
		const sp = (regs.kaddr(RSP) - 8) | 0;
		cpu.memory.setU64(sp, regs.rip);
		regs.setKaddr(RSP, sp);
		regs.setKaddr(RAX, func);
		args.forEach((value, index) => {
			regs.words[ARGUMENT_REGISTERS[index]!] = BigInt.asUintN(64, value);
		});
		regs.rip = toU64(call_from_host);
	}

	*#run(task: task_struct): Kernel<bigint> {
		const { cpu } = this.#env;
		for (let executed = 0; executed < ENDLESS; ) {
			cpu.state.words.set(task.regs.words);
			const stop = cpu.run(SLICE);
			task.regs.words.set(cpu.state.words);
			executed += stop.executed;
			this.#env.executed(stop.executed);
			if (stop.kind === "gate") {
				if (stop.gate.name === "return_to_host") return task.regs.words[RAX]!;
				yield* this.#env.gate(stop.gate.name, task);
			} else if (stop.kind === "fault") {
				if (stop.fault.kind !== "breakpoint" || !this.#env.int3()) {
					this.#env.oops(task, stop.fault, cpu.state.rip);
				}
				task.regs.words.set(cpu.state.words);
			}
		}
		throw new KlpemuError("GUEST_ENDLESS", `${task.comm} does not come back from guest code`, {
			hint: `a call has executed ${ENDLESS} instructions`,
		});
	}
}
