import { declareState } from "../../base/index.js";
import { type Kaddr, toU64 } from "../../memory/index.js";
import type { GuestMemory, Heap, HostFunctions } from "../guest/index.js";
import type { Kernel } from "../lib/index.js";
import { type Sched, synchronize_rcu, type task_struct } from "../sched/index.js";
import type { KernelTasks } from "./kernel-abi.js";

/** struct task_struct of asm/include/linux/sched.h. */
const TASK = { pid: 0, tgid: 4, comm: 8, commLength: 16, size: 24 } as const;

/** `current`, as guest code reads it. */
export class GuestTasks {
	static readonly state = declareState("GuestTasks", { fields: ["structs"] });

	readonly #memory: GuestMemory;
	readonly #heap: Heap;
	readonly #sched: Sched;
	readonly #kernelTasks: KernelTasks | undefined;
	/** The struct task_struct of each task that guest code has asked for. */
	private readonly structs = new Map<task_struct, Kaddr>();

	constructor(memory: GuestMemory, heap: Heap, sched: Sched, kernelTasks: KernelTasks | undefined) {
		this.#memory = memory;
		this.#heap = heap;
		this.#sched = sched;
		this.#kernelTasks = kernelTasks;
	}

	/** Address of a task's struct; 0 if there is no memory for one. */
	structOf(task: task_struct): Kaddr {
		const memory = this.#memory;
		const known = this.structs.get(task);
		if (known !== undefined) return known;
		const address = this.#heap.kmalloc(TASK.size, true);
		if (address === 0) return 0;
		memory.setU32((address + TASK.pid) | 0, task.pid);
		memory.setU32((address + TASK.tgid) | 0, task.pid);
		const comm = new TextEncoder().encode(task.comm).subarray(0, TASK.commLength - 1);
		memory.write((address + TASK.comm) | 0, comm);
		this.structs.set(task, address);
		return address;
	}

	/** The task whose struct is at an address; undefined: none. */
	taskAt(address: Kaddr): task_struct | undefined {
		for (const [task, at] of this.structs) if (at === address) return task;
		return this.#kernelTasks?.taskAt(address);
	}

	functions(): HostFunctions {
		const sched = this.#sched;
		return {
			plain: { get_current: () => toU64(this.structOf(sched.current)) },
			sleeping: {
				*synchronize_rcu(): Kernel<undefined> {
					yield* synchronize_rcu(sched, "synchronize_rcu");
					return undefined;
				},
			},
		};
	}
}
