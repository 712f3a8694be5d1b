import { declareState } from "../../base/index.js";
import type { Kaddr, Memory } from "../../memory/index.js";
import type { Dmesg, Kernel } from "../lib/index.js";
import type { ftrace_ret_stack, Sched, task_struct } from "../sched/index.js";
import type { Ftrace } from "./ftrace.js";
import { ftrace_ops, PT_REGS } from "./ops.js";
import { isRecursion } from "./recursion.js";

/** A user of the function graph: it is called at the entry and at the return of functions (struct fgraph_ops). */
export interface fgraph_ops {
	/** The call as it is kept until it returns; undefined: its return is of no interest. */
	entryfunc(task: task_struct, call: ftrace_ret_stack): ftrace_ret_stack | undefined;
	/** `depth`: number of the calls around it that are on the shadow stack. */
	retfunc(task: task_struct, call: ftrace_ret_stack, depth: number): void;
}

/** Calls that fit on a shadow stack of a page: SHADOW_STACK_MAX_OFFSET of kernel/trace/fgraph.c, five words each. */
const RET_STACK_MAX = 98;

/**
 * kernel/trace/fgraph.c: replaces return addresses on the stacks of tasks by the address of return_to_handler. The original ones are on
 * the task's shadow stack, `task.ret_stack`, where also the unwinder finds them.
 */
export class FunctionGraph {
	static readonly state = declareState("FunctionGraph", { fields: ["graph_ops", "ftrace_graph_active"] });

	readonly #memory: Memory;
	readonly #dmesg: Dmesg;
	readonly #sched: Sched;
	readonly #ftrace: Ftrace;
	readonly #gops: fgraph_ops;
	readonly graph_ops: ftrace_ops;
	/** Number of registered users: there is only one, the function graph tracer. */
	ftrace_graph_active = 0;

	constructor(
		parts: { readonly memory: Memory; readonly dmesg: Dmesg; readonly sched: Sched; readonly ftrace: Ftrace },
		gops: fgraph_ops,
		ftrace_graph_func: Kaddr,
	) {
		this.#memory = parts.memory;
		this.#dmesg = parts.dmesg;
		this.#sched = parts.sched;
		this.#ftrace = parts.ftrace;
		this.#gops = gops;
		this.graph_ops = new ftrace_ops("graph_ops", this, ftrace_graph_func, undefined, 0);
	}

	/** Traces the functions in the filters of `src_ops`. A shadow stack always exists here: only memory can fail in the kernel. */
	*register_ftrace_graph(src_ops: ftrace_ops): Kernel<number> {
		this.graph_ops.filter_hash = src_ops.filter_hash;
		this.graph_ops.notrace_hash = src_ops.notrace_hash;
		this.ftrace_graph_active++;
		const ret = yield* this.#ftrace.register_ftrace_function_nolock(this.graph_ops);
		if (ret !== 0) this.ftrace_graph_active--;
		return ret;
	}

	/** Tasks that are in a traced function still return through return_to_handler. */
	*unregister_ftrace_graph(): Kernel<number> {
		this.ftrace_graph_active--;
		return yield* this.#ftrace.unregister_ftrace_function_nolock(this.graph_ops);
	}

	/** The call-back of graph_ops: replaces the return address of the traced function (prepare_ftrace_return, function_graph_enter). */
	ftrace_graph_func(ip: Kaddr, fregs: Kaddr): void {
		const task = this.#sched.current;
		if (isRecursion(task) || this.ftrace_graph_active === 0 || task.ret_stack.length >= RET_STACK_MAX) return;
		const memory = this.#memory;
		const retp = memory.kaddr((fregs + PT_REGS.RSP) | 0);
		const { jiffies } = this.#sched;
		const call = this.#gops.entryfunc(task, { ret: memory.kaddr(retp), func: ip, retp, calltime: jiffies });
		if (call === undefined) return;
		task.ret_stack = [...task.ret_stack, call];
		memory.setKaddr(retp, this.#ftrace.templates.return_to_handler);
	}

	/** Called by return_to_handler: the address to which the task really returns. */
	ftrace_return_to_handler(): Kaddr {
		const task = this.#sched.current;
		const call = task.ret_stack.at(-1);
		if (this.#dmesg.WARN_ON(call === undefined, "Bad function graph ret_stack pointer: 0")) return 0;
		const depth = task.ret_stack.length - 1;
		if (this.ftrace_graph_active > 0) this.#gops.retfunc(task, call!, depth);
		task.ret_stack = task.ret_stack.slice(0, -1);
		return call!.ret;
	}

	/**
	 * For one walk of the unwinder, from the innermost frame on: the return address that return_to_handler stands for in the word at
	 * `retp`; any other address, and one that is not found, is returned unchanged. A function that another one has jumped to, and one
	 * that a livepatch runs instead, shares its word with the function before it: the older entry of the shadow stack holds the address.
	 */
	ftrace_graph_ret_addr(task: task_struct): (ret: Kaddr, retp: Kaddr) => Kaddr {
		const { return_to_handler } = this.#ftrace.templates;
		let idx = task.ret_stack.length;
		return (ret, retp) => {
			if (ret !== return_to_handler) return ret;
			for (let i = idx - 1; i >= 0; i--) {
				const call = task.ret_stack[i]!;
				if (call.retp !== retp || call.ret === return_to_handler) continue;
				idx = i;
				return call.ret;
			}
			return ret;
		};
	}
}
