import { CpuState, RAX, RDI, RSP } from "../../cpu/index.js";
import type { StackTrace, task_struct } from "../../linux/sched/index.js";
import type { Machine } from "../../machine/index.js";
import { type Kaddr, PERM, toU64 } from "../../memory/index.js";

/**
 * The whole stack of a task on which the unwinder has given up in return_to_handler: a state needs it, because tasks with different callers
 * go on in different places. The kernel does not know it.
 */
export function hiddenEntries(machine: Machine, task: task_struct, trace: StackTrace): string {
	const entries = [...trace.entries];
	for (let part = trace; !part.reliable; ) {
		const ip = part.entries.at(-1);
		const rsp = part.rsp.at(-1);
		if (ip === undefined || rsp === undefined || !isInReturnToHandler(machine, ip)) break;
		const ret =
			part.entries.length === 1 && isEntry(machine, ip) ? task.ret_stack.at(-1)?.ret : returning(machine, task);
		if (ret === undefined || entries.length > 1000) break;
		const regs = new CpuState(task.regs.words.slice());
		regs.rip = toU64(ret);
		regs.setKaddr(RSP, rsp);
		part = machine.unwinder.walk(task, regs);
		entries.push(...part.entries);
	}
	return `?${entries.join()}`;
}

function isInReturnToHandler({ ftrace }: Machine, ip: Kaddr): boolean {
	const { return_to_handler, arch_rethook_trampoline } = ftrace.templates;
	return ip >= return_to_handler && ip < arch_rethook_trampoline;
}

/** ftrace_return_to_handler() has not been called yet. */
function isEntry({ ftrace }: Machine, ip: Kaddr): boolean {
	return ip === ftrace.templates.return_to_handler;
}

/** The address that ftrace_return_to_handler() has returned: in rax, then in rdi. */
function returning({ memory }: Machine, { regs }: task_struct): Kaddr {
	const rdi = regs.kaddr(RDI);
	return memory.permissions(rdi) & PERM.EXEC ? rdi : regs.kaddr(RAX);
}
