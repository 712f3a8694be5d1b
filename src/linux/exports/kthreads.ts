import { declareState } from "../../base/index.js";
import { hex, type Kaddr, toU64 } from "../../memory/index.js";
import { GuestFault, type HostFunctions } from "../guest/index.js";
import { EINTR, type Kernel, wait } from "../lib/index.js";
import { TASK_DEAD, TASK_NORMAL, TASK_UNINTERRUPTIBLE, type TaskProgram, type task_struct } from "../sched/index.js";
import { addKthread, type KthreadParts } from "./add-kthread.js";
import type { KernelTasks } from "./kernel-abi.js";
import type { GuestOutput } from "./output.js";
import type { GuestTasks } from "./tasks.js";

/** TASK_COMM_LEN without the NUL. */
const COMM_LENGTH = 15;

/** struct kthread */
interface Kthread {
	started: boolean;
	/** KTHREAD_SHOULD_STOP */
	stop: boolean;
	/** What its function has returned; undefined: it has not. */
	result: number | undefined;
}

interface Parts extends KthreadParts {
	/** The task_structs of asm/include. */
	readonly tasks: GuestTasks;
	/** Those in the layout of the kernel, if .ko files can be loaded. */
	readonly kernelTasks: KernelTasks | undefined;
	readonly output: GuestOutput;
}

/** kthreads of modules (kernel/kthread.c): tasks whose program is one function of guest code, with which they end. */
export class Kthreads {
	static readonly state = declareState("Kthreads", { fields: ["threads"] });

	readonly #parts: Parts;
	private readonly threads = new Map<task_struct, Kthread>();

	constructor(parts: Parts) {
		this.#parts = parts;
	}

	/** It sleeps until it is woken for the first time. */
	#create(func: bigint, argument: bigint, name: string): task_struct {
		const thread: Kthread = { started: false, stop: false, result: undefined };
		const next = (result: bigint) => {
			if (!thread.started) {
				thread.started = true;
				if (!thread.stop) return { func, argument };
				thread.result = -EINTR;
			} else thread.result = Number(BigInt.asIntN(32, result));
			return undefined;
		};
		const program: TaskProgram = { calls: [], next, afterRound: () => "exit" };
		const task = addKthread(this.#parts, name.slice(0, COMM_LENGTH), TASK_UNINTERRUPTIBLE, program);
		this.threads.set(task, thread);
		return task;
	}

	/** Throws the fault of a pointer to no kthread. */
	#find(address: Kaddr): readonly [task_struct, Kthread] {
		const task = this.#parts.tasks.taskAt(address);
		const thread = task && this.threads.get(task);
		if (task === undefined || thread === undefined)
			throw new GuestFault({ kind: "general-protection" }, `no kthread at ${hex(address)}`);
		return [task, thread];
	}

	*#stop(address: Kaddr): Kernel<number> {
		const [task, thread] = this.#find(address);
		thread.stop = true;
		this.#parts.sched.wake_up_state(task, TASK_NORMAL);
		yield wait("kthread_stop", () => task.__state === TASK_DEAD);
		return thread.result ?? 0;
	}

	functions(): HostFunctions {
		const stop = (address: Kaddr) => this.#stop(address);
		const { tasks, kernelTasks, output } = this.#parts;
		return {
			plain: {
				// A macro in the kernel, and a function in asm/include: (func, data, format, ...).
				kthread_create: (args) => {
					return toU64(tasks.structOf(this.#create(args.u64(0), args.u64(1), output.format(args, 2))));
				},
				// (func, data, node, format, ...)
				...(kernelTasks !== undefined && {
					kthread_create_on_node: (args) => {
						return toU64(kernelTasks.structOf(this.#create(args.u64(0), args.u64(1), output.format(args, 3))));
					},
				}),
				kthread_should_stop: () => Number(this.threads.get(this.#parts.sched.current)?.stop ?? false),
				kthread_bind: (args) => {
					this.#find(args.pointer(0))[0].pinned = args.u32(1);
					return undefined;
				},
			},
			sleeping: {
				*kthread_stop(args): Kernel<number> {
					return yield* stop(args.pointer(0));
				},
			},
		};
	}
}
