import type { CpuState } from "../cpu/index.js";
import type { UnwindRow } from "../elf/index.js";
import type { Kaddr, Memory } from "../memory/index.js";

/** Entries that klp_check_stack has room for (MAX_STACK_ENTRIES, kernel/livepatch/transition.c). */
export const MAX_STACK_ENTRIES = 100;

/** `ip` is ready for the lookup: for a return address (isCallSite) it is the address minus one already. */
export type RowLookup = (ip: Kaddr, isCallSite: boolean) => UnwindRow | undefined;

export interface Stack {
	readonly memory: Memory;
	/** The stack is [low, high). */
	readonly low: Kaddr;
	readonly high: Kaddr;
	readonly findRow: RowLookup;
}

export type StackTrace =
	/** Innermost first: where the task is, then return addresses. */
	| { readonly reliable: true; readonly entries: readonly Kaddr[] }
	| { readonly reliable: false; readonly reason: string; readonly entries: readonly Kaddr[] };

/** Walks the stack of a task that does not run (stack_trace_save_tsk_reliable). */
export function stack_trace_save_tsk_reliable(_regs: CpuState, _stack: Stack): StackTrace {
	return { reliable: false, reason: "being written", entries: [] };
}
