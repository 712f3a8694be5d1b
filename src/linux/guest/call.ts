import { KlpemuError } from "../../base/index.js";
import { ARGUMENT_REGISTERS, type Cpu, GS_BASE, R8, R9, RAX, RFLAGS_RESET, RSP, type Stop } from "../../cpu/index.js";
import { type Kaddr, toU64 } from "../../memory/index.js";
import type { TextPoke } from "../ftrace/index.js";
import type { Kernel, Point } from "../lib/index.js";
import type { KernelStacks, PerCpu, Sched, task_struct } from "../sched/index.js";
import { GuestMemory } from "./guest-memory.js";
import type { HeapCheck } from "./heap-check.js";
import type { HostCalls } from "./host-calls.js";
import type { Oops } from "./oops.js";

/** A call that takes more instructions than this is an error. */
const ENDLESS = 200_000_000;
const SLICE = 1_000_000;
/** The registers of the first arguments (System V ABI, 3.2.3). */
const REGISTERS = [...ARGUMENT_REGISTERS, R8, R9] as const;

/** Labels of asm/entry_64.S. */
export interface CallLabels {
	readonly call_from_host: Kaddr;
	readonly host_bottom: Kaddr;
}

/** Looks at guest code that TypeScript has called, while it runs. */
export interface CallWatch {
	/** Instructions from one look to the next. */
	readonly step: number;
	look(task: task_struct): Kernel<void>;
}

/**
 * Runs guest code that TypeScript has called from one access to shared memory to the next: the explorer. An actor's place is in its
 * registers and on its stack while it is in guest code, and what it has done below is forgotten with `cut`.
 */
export interface CallStepper {
	/** Runs the Cpu until it stops, or up to a point. */
	run(task: task_struct): Stop | { readonly kind: "point"; readonly point: Point };
	/** A call begins or ends; the Cpu is in a host function, or back from it. */
	inGuest(step: 1 | -1): void;
	inGate(name: string | undefined): void;
	/** The present place of the actor outside of guest code. */
	mark(): number;
	/** The actor is at that place again. `more`: a value that it has brought there. */
	cut(mark: number, more?: string): void;
}

/**
 * Calls from TypeScript into guest code, by the task that executes: a module's init, a livepatch's callback, a sysfs show(). The
 * call is kernel code like any other: it may sleep in a gate, and other tasks run meanwhile.
 *
 * Such calls nest: guest code reaches a gate, its host function calls guest code again. The Cpu is never entered twice,
 * because each gate that does so has stopped it before. While the host runs, the registers in `task.regs` are valid;
 * the new frame goes on the same stack below them, so that an unwinder sees all frames.
 */
export class GuestCalls {
	readonly #cpu: Cpu;
	readonly #sched: Sched;
	readonly #stacks: KernelStacks;
	readonly #percpu: PerCpu;
	readonly #text_poke: TextPoke;
	readonly #hostCalls: HostCalls;
	readonly #oops: Oops;
	readonly #labels: CallLabels;
	/** Checks what the guest code does; the explorer checks it, too. */
	readonly heapCheck: HeapCheck;
	/** Set once, by a livepatch core that is guest code. */
	watch: CallWatch | undefined = undefined;
	/** Set once, by the explorer. */
	stepper: CallStepper | undefined = undefined;

	constructor(parts: {
		readonly cpu: Cpu;
		readonly sched: Sched;
		readonly stacks: KernelStacks;
		readonly percpu: PerCpu;
		readonly text_poke: TextPoke;
		readonly hostCalls: HostCalls;
		readonly oops: Oops;
		readonly labels: CallLabels;
		readonly heapCheck: HeapCheck;
	}) {
		this.#cpu = parts.cpu;
		this.#sched = parts.sched;
		this.#stacks = parts.stacks;
		this.#percpu = parts.percpu;
		this.#text_poke = parts.text_poke;
		this.#hostCalls = parts.hostCalls;
		this.#oops = parts.oops;
		this.#labels = parts.labels;
		this.heapCheck = parts.heapCheck;
	}

	/** rax of `func(args)`. Throws `GUEST_ENDLESS`, and `GUEST_OOPS` if the task dies. */
	call(func: Kaddr, ...args: readonly bigint[]): Kernel<bigint> {
		return this.callAs(undefined, func, ...args);
	}

	/** The same, for code that takes `current` for another task than the one that executes: gs is the area of that task. */
	*callAs(as: task_struct | undefined, func: Kaddr, ...args: readonly bigint[]): Kernel<bigint> {
		const task = this.#sched.current;
		const { mode } = task;
		const saved = task.regs.words.slice();
		this.#enter(task, func, args);
		task.mode = "kernel";
		try {
			const result = yield* this.stepper === undefined
				? this.#run(task, as ?? task)
				: this.#step(task, as ?? task, this.stepper);
			task.regs.words.set(saved);
			this.#setPerCpu(task);
			this.#cpu.state.words.set(task.regs.words);
			return result;
		} finally {
			task.mode = mode;
		}
	}

	#enter(task: task_struct, func: Kaddr, args: readonly bigint[]): void {
		const { call_from_host, host_bottom } = this.#labels;
		const { regs } = task;
		const nested = task.mode === "kernel";
		if (!nested) {
			regs.words.fill(0n);
			regs.rflags = RFLAGS_RESET;
			// The unwinder looks up a return address as the address before it.
			regs.rip = toU64((host_bottom + 1) | 0);
			regs.setKaddr(RSP, this.#stacks.emptyStack(task));
		}
		const sp = (regs.kaddr(RSP) - 8) | 0;
		// The stack pointer may be what guest code has made of it.
		new GuestMemory(this.#cpu.memory).setU64(sp, regs.rip);
		regs.setKaddr(RSP, sp);
		regs.setKaddr(RAX, func);
		args.slice(0, REGISTERS.length).forEach((value, index) => {
			regs.words[REGISTERS[index]!] = BigInt.asUintN(64, value);
		});
		// The others are on the stack, the first one next to the return address. No unwinder finds its way past them.
		for (const value of args.slice(REGISTERS.length).reverse()) {
			const at = (regs.kaddr(RSP) - 8) | 0;
			this.#cpu.memory.setU64(at, BigInt.asUintN(64, value));
			regs.setKaddr(RSP, at);
		}
		regs.rip = toU64(call_from_host);
	}

	/** gs is the area of the CPU that the task is on now: behind a wait it may be another one than before. */
	#setPerCpu(task: task_struct, of = task): void {
		task.regs.words[GS_BASE] = toU64(this.#percpu.areaOf(of));
	}

	*#run(task: task_struct, as: task_struct): Kernel<bigint> {
		const cpu = this.#cpu;
		for (let executed = 0; executed < ENDLESS; ) {
			this.#setPerCpu(task, as);
			cpu.state.words.set(task.regs.words);
			const { watch } = this;
			const stop = this.heapCheck.run(watch?.step ?? SLICE);
			task.regs.words.set(cpu.state.words);
			executed += stop.executed;
			this.#sched.instructions += stop.executed;
			if (watch !== undefined) {
				yield* watch.look(task);
				cpu.state.words.set(task.regs.words);
			}
			if (stop.kind === "gate") {
				if (stop.gate.name === "return_to_host") return task.regs.words[RAX]!;
				yield* this.#hostCalls.run(stop.gate.name, task);
			} else if (stop.kind === "fault") this.#fault(task, stop);
		}
		throw endless(task);
	}

	/** The same, one step of the explorer after the other. */
	*#step(task: task_struct, as: task_struct, stepper: CallStepper): Kernel<bigint> {
		const cpu = this.#cpu;
		const begin = stepper.mark();
		stepper.inGuest(1);
		for (;;) {
			this.#setPerCpu(task, as);
			cpu.state.words.set(task.regs.words);
			const stop = stepper.run(task);
			task.regs.words.set(cpu.state.words);
			if (stop.kind === "point") yield stop.point;
			else if (stop.kind === "gate") {
				const { name } = stop.gate;
				if (name === "return_to_host") break;
				stepper.inGate(name);
				yield* this.#hostCalls.run(name, task);
				stepper.inGate(undefined);
			} else if (stop.kind === "fault") this.#fault(task, stop);
			else throw endless(task, stop.executed);
			// What has happened since is in registers and memory.
			stepper.cut(begin);
		}
		const result = task.regs.words[RAX]!;
		stepper.inGuest(-1);
		stepper.cut(begin, String(result));
		return result;
	}

	#fault(task: task_struct, { fault }: Stop & { readonly kind: "fault" }): void {
		const { state } = this.#cpu;
		const handled =
			this.#oops.handle_bug(task, fault, state) ||
			(fault.kind === "breakpoint" && this.#text_poke.poke_int3_handler(state));
		if (!handled) this.#oops.dieInCall(task, fault, state.rip);
		task.regs.words.set(state.words);
	}
}

function endless(task: task_struct, executed = ENDLESS): KlpemuError {
	return new KlpemuError("GUEST_ENDLESS", `${task.comm} does not come back from guest code`, {
		hint: `a call has executed ${executed} instructions`,
	});
}
