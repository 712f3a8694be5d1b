import { declareState, KlpemuError } from "../../base/index.js";
import { type Cpu, RAX } from "../../cpu/index.js";
import { type Kernel, type Point, type PointObserver, tellStep, visitor } from "../lib/index.js";
import { type Continuation, type Sched, switchedVoluntarily, type task_struct } from "../sched/index.js";
import { GuestArguments, type HostFunctions } from "./arguments.js";
import { GuestFault } from "./guest-memory.js";
import type { Oops } from "./oops.js";

/**
 * Host functions that may sleep: their gates stop the Cpu, and the task continues in TypeScript until it is back in
 * guest code.
 */
export class HostCalls {
	static readonly state = declareState("HostCalls", { fields: ["failure"] });

	readonly #cpu: Cpu;
	readonly #sched: Sched;
	readonly #oops: Oops;
	readonly #observers: Iterable<PointObserver>;
	/** By the name of their gate. */
	readonly #functions = new Map<string, HostFunctions["sleeping"][string]>();
	private failure: GuestFault | undefined = undefined;

	constructor(cpu: Cpu, sched: Sched, oops: Oops, observers: Iterable<PointObserver>) {
		this.#cpu = cpu;
		this.#sched = sched;
		this.#oops = oops;
		this.#observers = observers;
	}

	add(functions: HostFunctions): void {
		for (const [name, call] of Object.entries(functions.sleeping)) this.#functions.set(name, call);
	}

	/** A host function that does not sleep has followed a bad pointer: its task dies when the Cpu has stopped. */
	failed(error: GuestFault): void {
		this.failure = error;
	}

	/** Runs the host function behind a gate that has stopped the Cpu, with the registers in `task.regs`. */
	*run(name: string, task: task_struct): Kernel<void> {
		try {
			if (this.failure !== undefined) throw this.failure;
			const call = this.#functions.get(name);
			// return_to_host, where no host function has called: guest code has made up the address.
			if (call === undefined)
				throw new GuestFault({ kind: "invalid-opcode" }, `a call of ${name}, which is no function`);
			const result = yield* call(new GuestArguments(this.#cpu.memory, task.regs));
			if (result !== undefined) task.regs.words[RAX] = BigInt.asUintN(64, BigInt(result));
		} catch (error) {
			if (!(error instanceof GuestFault)) throw error;
			this.failure = undefined;
			this.#oops.dieInCall(task, error.fault, task.regs.rip);
		}
	}

	/** Called when a task of the scheduler has reached such a gate. */
	enter(name: string, task: task_struct): Continuation {
		task.inHost = this.run(name, task);
		return this.goOn(task);
	}

	/** Continues the host function that the task is in, until it sleeps or is back in guest code. */
	goOn(task: task_struct): Continuation {
		for (;;) {
			// The task may have been woken although its condition is still false.
			if (task.waitsFor !== undefined && !task.waitsFor.ready()) {
				switchedVoluntarily(task);
				this.#sched.wait_event(task, task.waitsFor);
				return "end-slice";
			}
			task.waitsFor = undefined;
			const next = this.#advance(task);
			if (next === undefined) return "end-slice";
			const { done, value } = next;
			if (done) {
				task.inHost = undefined;
				this.#cpu.state.words.set(task.regs.words);
				return "go-on";
			}
			if (typeof value === "object" && value.kind === "wait") task.waitsFor = value;
			else tellStep(value, visitor(this.#observers));
		}
	}

	/** One step of the host function that the task is in; undefined: the task has died there. */
	#advance(task: task_struct): IteratorResult<Point, void> | undefined {
		try {
			return task.inHost!.next();
		} catch (error) {
			if (!(error instanceof KlpemuError) || error.code !== "GUEST_OOPS") throw error;
			return undefined;
		}
	}
}
