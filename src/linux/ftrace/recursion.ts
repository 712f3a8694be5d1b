/**
 * Protection against call-backs that call themselves (include/linux/trace_recursion.h): a bit for each user and context in
 * task_struct.trace_recursion. While one is set, preemption is disabled.
 */

/** Bits of call-backs that protect themselves (klp_ftrace_handler, the function tracer, kprobes). */
export const TRACE_FTRACE_START = 0;

/** Guest code never runs in an interrupt, softirq or NMI here. */
const TRACE_CTX_NORMAL = 3;
const TRACE_CTX_TRANSITION = 4;

/** The fields of a task that this file uses. */
export interface Recursion {
	trace_recursion: number;
}

/**
 * Takes a bit. -1: this is a recursion. One recursion is allowed, with the TRANSITION bit: it may be an interrupt that
 * preempt_count does not show yet.
 */
export function trace_test_and_set_recursion(task: Recursion, start: number): number {
	const normal = TRACE_CTX_NORMAL + start;
	const transition = TRACE_CTX_TRANSITION + start;
	const bit = task.trace_recursion & (1 << normal) ? transition : normal;
	if (task.trace_recursion & (1 << bit)) return -1;
	task.trace_recursion |= 1 << bit;
	return bit;
}

export function trace_clear_recursion(task: Recursion, bit: number): void {
	task.trace_recursion &= ~(1 << bit);
}

/** Releases the bit that was taken last, for a caller that cannot store its number. */
export function clearLastRecursion(task: Recursion, start: number): void {
	const transition = TRACE_CTX_TRANSITION + start;
	trace_clear_recursion(task, task.trace_recursion & (1 << transition) ? transition : TRACE_CTX_NORMAL + start);
}

/**
 * True if ftrace_test_recursion_trylock() would fail; for a call-back that cannot be interrupted and need not take the
 * bit.
 */
export function isRecursion(task: Recursion): boolean {
	const both = (1 << TRACE_CTX_NORMAL) | (1 << TRACE_CTX_TRANSITION);
	return (task.trace_recursion & both) === both;
}
