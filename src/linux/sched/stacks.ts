import { declareState, KlpemuError } from "../../base/index.js";
import { hex, type Kaddr, type Memory, PAGE_SIZE, PERM, type Region } from "../../memory/index.js";
import { TASK_DEAD, type task_struct } from "./task.js";

/** THREAD_SIZE of x86-64. The page below each stack is never mapped. */
export const THREAD_SIZE = 16384;
/** Room for the user's pt_regs at the top of a stack, with padding for alignment. */
const TOP_OF_STACK = 176;

/** Kernel stacks: each task that enters guest kernel code has one, with a guard page below it. */
export class KernelStacks {
	static readonly state = declareState("KernelStacks", { fields: ["nextStack", "freeStacks"] });

	readonly #memory: Memory;
	readonly #base: Kaddr;
	readonly #end: Kaddr;
	nextStack: Kaddr;
	readonly freeStacks: Kaddr[] = [];

	/** Stacks come from [base, end). */
	constructor(memory: Memory, area: { readonly base: Kaddr; readonly end: Kaddr }) {
		this.#memory = memory;
		this.#base = area.base;
		this.nextStack = area.base;
		this.#end = area.end;
	}

	/** A stack could be there. */
	contains(address: Kaddr): boolean {
		return address >= this.#base && address < this.#end;
	}

	/** Gives a task its stack, if it has none, and returns the stack pointer of the empty stack. Throws `STACK_AREA_FULL`. */
	emptyStack(task: task_struct): Kaddr {
		task.stack ??= this.#allocate(task);
		return this.stackTop(task);
	}

	/** The stack pointer of an empty stack, at which a walk must end. */
	stackTop(task: task_struct): Kaddr {
		return (Number(BigInt.asIntN(32, task.stack!.address)) + THREAD_SIZE - TOP_OF_STACK) | 0;
	}

	#allocate(task: task_struct): Region {
		const reused = this.freeStacks.pop();
		const guard = reused ?? this.nextStack;
		if (reused === undefined) {
			if (guard + PAGE_SIZE + THREAD_SIZE > this.#end) {
				throw new KlpemuError("STACK_AREA_FULL", `no room for the stack of task '${task.comm}' at ${hex(guard)}`, {
					hint: "the guest's addresses are enough for some 52,000 tasks that have been in the kernel",
				});
			}
			this.nextStack = (guard + PAGE_SIZE + THREAD_SIZE) | 0;
		}
		return this.#memory.map(`stack:${task.comm}`, (guard + PAGE_SIZE) | 0, THREAD_SIZE, PERM.READ | PERM.WRITE);
	}

	/** Frees the stack of a dead task. */
	release(task: task_struct): void {
		if (task.stack === undefined) return;
		if (task.__state !== TASK_DEAD) throw new Error(`${task.comm} still lives`);
		this.freeStacks.push((Number(BigInt.asIntN(32, task.stack.address)) - PAGE_SIZE) | 0);
		this.#memory.unmap(task.stack);
		task.stack = undefined;
	}
}
