import { declareState, KlpemuError } from "../../base/index.js";
import { type Cpu, type Fault, RAX } from "../../cpu/index.js";
import { COND_RESCHED, LAYOUT } from "../../machine/index.js";
import type { Kaddr, Memory } from "../../memory/index.js";
import { type Klp, type module, Shadow } from "../klp/index.js";
import type { Dmesg, Kernel, Point } from "../lib/index.js";
import type { LoadedModule } from "../module/index.js";
import {
	type Continuation,
	PF_KTHREAD,
	type Sched,
	switchedVoluntarily,
	TASK_IDLE,
	type task_struct,
} from "../sched/index.js";
import {
	GuestArguments,
	GuestCalls,
	GuestLivepatch,
	GuestOutput,
	GuestWorkqueue,
	Heap,
	type HostFunctions,
	isBadPointer,
	Kobjects,
	lockFunctions,
} from "./index.js";

export interface GuestKernelEnvironment {
	readonly cpu: Cpu;
	readonly memory: Memory;
	readonly dmesg: Dmesg;
	readonly sched: Sched;
	readonly klp: Klp;
	readonly HZ: number;
	readonly call_from_host: Kaddr;
	readonly host_bottom: Kaddr;
	/** See Machine.should_fail. */
	should_fail(site: string): boolean;
	current(): task_struct;
	emptyStack(task: task_struct): Kaddr;
	percpu(cpu: number): Kaddr;
	executed(count: number): void;
	int3(): boolean;
	oops(task: task_struct, fault: Fault, rip: bigint): never;
	symbol(address: Kaddr, bare: boolean): string;
	/** The kworker for works of the kernel itself. */
	kworker(): task_struct;
	/** A point of kernel code where others may look. */
	visit(point: string): void;
	moduleAt(address: Kaddr): LoadedModule | undefined;
	structOf(mod: module): Kaddr;
}

/** struct task_struct of asm/include/linux/sched.h. */
const TASK = { pid: 0, tgid: 4, comm: 8, commLength: 16, size: 24 } as const;

/** What the kernel offers to guest code beside what asm/vmlinux has in C: every host function, and calls back into the guest. */
export class GuestKernel {
	static readonly state = declareState({
		fields: ["heap", "output", "work", "kobjects", "shadow", "livepatch", "failure", "tasks"],
	});

	readonly heap: Heap;
	readonly calls: GuestCalls;
	readonly output: GuestOutput;
	readonly work: GuestWorkqueue;
	readonly kobjects: Kobjects;
	readonly shadow: Shadow;
	readonly #env: GuestKernelEnvironment;
	private readonly livepatch: GuestLivepatch;
	private failure: KlpemuError | undefined = undefined;
	/** Host functions that may sleep, by the name of their gate. */
	readonly #sleeping = new Map<string, HostFunctions["sleeping"][string]>();
	/** The struct task_struct of each task that guest code has asked for. */
	private readonly tasks = new Map<task_struct, Kaddr>();

	constructor(env: GuestKernelEnvironment) {
		const { memory, dmesg, sched, klp } = env;
		this.#env = env;
		this.heap = new Heap(memory, { base: LAYOUT.heap, end: LAYOUT.heapEnd });
		this.calls = new GuestCalls({ ...env, gate: (name, task) => this.#run(name, task) });
		this.output = new GuestOutput(env);
		this.work = new GuestWorkqueue({
			memory,
			jiffies: () => sched.jiffies,
			createKworker: (index) => this.#createKworker(index),
			wake: (task) => void sched.wake_up_state(task, -1),
		});
		this.kobjects = new Kobjects(memory, this.heap, this.calls);
		this.shadow = new Shadow({
			dmesg,
			kzalloc: (size) => this.#kmalloc("klp_shadow", size, true),
			kfree: (address) => void this.heap.kfree(address),
		});
		this.livepatch = new GuestLivepatch({
			...{ memory, klp, heap: this.heap, calls: this.calls, shadow: this.shadow },
			moduleAt: env.moduleAt,
			structOf: env.structOf,
			nameAt: (address) => env.symbol(address, true),
			fieldsOf: (mod) => (mod as LoadedModule).fields,
		});
	}

	/** Takes over functions that may sleep: their gates stop the Cpu, and {@link enter} runs them. */
	add(functions: HostFunctions): void {
		for (const [name, call] of Object.entries(functions.sleeping)) this.#sleeping.set(name, call);
	}

	has(name: string): boolean {
		return this.#sleeping.has(name);
	}

	/** A host function that does not sleep has followed a bad pointer: its task dies when the Cpu has stopped. */
	failed(error: KlpemuError): void {
		this.failure = error;
	}

	/** Runs the host function behind a gate that has stopped the Cpu, with the registers in `task.regs`. */
	*#run(name: string, task: task_struct): Kernel<void> {
		try {
			if (this.failure !== undefined) throw this.failure;
			if (COND_RESCHED.includes(name)) return yield* this.#env.klp.__klp_sched_try_switch();
			const call = this.#sleeping.get(name);
			if (call === undefined) throw new Error(`gate ${name} has stopped the Cpu, and nobody knows why`);
			const result = yield* call(new GuestArguments(this.#env.memory, task.regs));
			if (result !== undefined) task.regs.words[RAX] = BigInt.asUintN(64, BigInt(result));
		} catch (error) {
			if (!isBadPointer(error)) throw error;
			this.failure = undefined;
			this.#env.oops(task, { kind: "page-fault", access: "read", detail: error.message }, task.regs.rip);
		}
	}

	/** A task of the scheduler has reached such a gate. */
	enter(name: string, task: task_struct): Continuation {
		task.inHost = this.#run(name, task);
		return this.goOn(task);
	}

	/** Goes on in the host function that the task is in, until it sleeps or is back in guest code. */
	goOn(task: task_struct): Continuation {
		for (;;) {
			// It may have been woken for nothing.
			if (task.waitsFor !== undefined && !task.waitsFor.ready()) {
				switchedVoluntarily(task);
				this.#env.sched.wait_event(task, task.waitsFor);
				return "end-slice";
			}
			task.waitsFor = undefined;
			const next = this.#advance(task);
			if (next === undefined) return "end-slice";
			const { done, value } = next;
			if (done) {
				task.inHost = undefined;
				this.#env.cpu.state.words.set(task.regs.words);
				return "go-on";
			}
			if (typeof value === "string") this.#env.visit(value);
			else task.waitsFor = value;
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

	/** A kworker for works of guest code. It copies the transition state of the one that is there, as kthreadd's children do. */
	#createKworker(index: number): task_struct {
		const task: task_struct = this.#env.sched.add(`kworker/0:${index + 2}`, {
			flags: PF_KTHREAD,
			mode: "kernel",
			program: { calls: [], next: () => this.work.next(task) },
		});
		task.__state = TASK_IDLE;
		this.#env.klp.klp_copy_process(this.#env.kworker(), task);
		return task;
	}

	#current(): Kaddr {
		const { memory } = this.#env;
		const task = this.#env.current();
		const known = this.tasks.get(task);
		if (known !== undefined) return known;
		const address = this.heap.kmalloc(TASK.size, true);
		if (address === 0) return 0;
		memory.setU32((address + TASK.pid) | 0, task.pid);
		memory.setU32((address + TASK.tgid) | 0, task.pid);
		const comm = new TextEncoder().encode(task.comm).subarray(0, TASK.commLength - 1);
		memory.write((address + TASK.comm) | 0, comm);
		this.tasks.set(task, address);
		return address;
	}

	#kmalloc(site: string, size: number, zero: boolean): Kaddr {
		return this.#env.should_fail(`${site}(${this.#env.current().comm})`) ? 0 : this.heap.kmalloc(size, zero);
	}

	#memoryFunctions(): HostFunctions {
		const { dmesg } = this.#env;
		return {
			plain: {
				kmalloc: (args) => {
					return BigInt(this.#kmalloc("kmalloc", Number(args.u64(0)), (args.u32(1) & __GFP_ZERO) !== 0));
				},
				kfree: (args) => {
					const address = args.pointer(0);
					dmesg.WARN_ON(!this.heap.kfree(address), "kfree: not an object in use");
					return undefined;
				},
				get_current: () => BigInt(this.#current()),
			},
			sleeping: {},
		};
	}

	/** All host functions, in groups. */
	functions(): HostFunctions[] {
		const { memory, sched, HZ, current } = this.#env;
		return [
			this.output.functions(),
			this.#memoryFunctions(),
			lockFunctions({ memory, HZ, jiffies: () => sched.jiffies, currentId: () => current().pid + 1 }),
			this.work.functions(),
			this.kobjects.functions(),
			this.livepatch.functions(),
		];
	}
}

/** include/linux/gfp_types.h */
const __GFP_ZERO = 0x100;
