import { PT_REGS } from "../linux/ftrace/index.js";
import type { StackTrace } from "../linux/sched/index.js";
import type { Machine } from "../machine/index.js";
import type { Kaddr } from "../memory/index.js";

/** sizeof(struct pt_regs) */
const PT_REGS_SIZE = 168;

/**
 * The function that klp_ftrace_handler() has chosen for a task that is still on its trampoline: pt_regs.RIP on its stack. The
 * trampoline has not yet copied it to the return address, so that no walk of the stack finds it. Undefined: there is none.
 */
export function chosenOn(machine: Machine, { entries, rsp }: StackTrace): Kaddr | undefined {
	const { ftrace, memory } = machine;
	for (const [i, ip] of entries.entries()) {
		// The frame holds pt_regs until the trampoline has restored all registers.
		const size = (rsp[i + 1] ?? 0) - rsp[i]!;
		if (size <= PT_REGS_SIZE || !ftrace.trampolines.isBehindCall(ip)) continue;
		const chosen = memory.kaddr((rsp[i]! + PT_REGS.RIP) | 0);
		// Without a choice it is the address behind the call site, in the middle of the original function.
		const isFunction = machine.kallsyms.kallsyms_lookup_size_offset(chosen)?.offset === 0;
		return isFunction && entries[i + 1] !== chosen ? chosen : undefined;
	}
	return undefined;
}
