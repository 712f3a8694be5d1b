import type { Kaddr } from "../../memory/index.js";
import { type ReplacedReturns, type Sched, TASK_RUNNING, type task_struct } from "../sched/index.js";
import type { FunctionGraph } from "./fgraph.js";

/** For the unwinder: the original return addresses behind return_to_handler and arch_rethook_trampoline (arch/x86/include/asm/unwind.h). */
export class RecoverReturns implements ReplacedReturns {
	readonly #sched: Sched;
	readonly #graph: FunctionGraph;
	readonly #arch_rethook_trampoline: Kaddr;

	constructor(sched: Sched, graph: FunctionGraph, arch_rethook_trampoline: Kaddr) {
		this.#sched = sched;
		this.#graph = graph;
		this.#arch_rethook_trampoline = arch_rethook_trampoline;
	}

	unwind_recover_ret_addr(task: task_struct): (ret: Kaddr, retp: Kaddr) => Kaddr {
		const graph = this.#graph.ftrace_graph_ret_addr(task);
		const rethook = this.#rethook_find_ret_addr(task);
		return (ret, retp) => {
			const before = graph(ret, retp);
			return before === this.#arch_rethook_trampoline ? rethook(retp) : before;
		};
	}

	/**
	 * The hooks of a task can only be read while it sleeps: 0 for one that runs or has been preempted. `frame` is the address of the
	 * word. Two hooks of one call have the same: the older one holds the address.
	 */
	#rethook_find_ret_addr(task: task_struct): (frame: Kaddr) => Kaddr {
		let next = 0;
		return (frame) => {
			if (task !== this.#sched.current && task.__state === TASK_RUNNING) return 0;
			for (; next < task.rethooks.length; next++) {
				const node = task.rethooks[next]!;
				if (node.ret_addr === this.#arch_rethook_trampoline || node.frame !== frame) continue;
				next++;
				return node.ret_addr;
			}
			return 0;
		};
	}
}
