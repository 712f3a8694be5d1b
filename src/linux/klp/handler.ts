import { hex, type Kaddr, type Memory, toU64 } from "../../memory/index.js";
import {
	clearLastRecursion,
	type Ftrace,
	ftrace_ops as FtraceOps,
	type ftrace_ops,
	isRecursion,
	PT_REGS,
	TRACE_FTRACE_START,
	trace_test_and_set_recursion,
} from "../ftrace/index.js";
import { GuestFault } from "../guest/index.js";
import { type Dmesg, list_empty, type list_head } from "../lib/index.js";
import type { task_struct } from "../sched/index.js";
import { KLP_TRANSITION_IDLE, type klp_func, klp_ops } from "./types.js";

/*
 * klp_ftrace_handler() of kernel/livepatch/patch.c, the handler of every call of a livepatched function. It is written
 * twice, and test/designs/handler.test.ts checks that both behave alike:
 *
 * - walk() with hotHandler(), which runs without a stop: the gate calls it. Read this one first.
 * - klp_ftrace_handler_step(), which stops behind each read that can race with a transition: for the explorer.
 */

/** The decisions of a replace design about the walk down a func_stack. */
export interface HandlerRules {
	/**
	 * True if a task in `patch_state` takes this entry, which is in transition. Every task takes an entry that is not
	 * in transition. Pure: observers call it too.
	 */
	sees(func: klp_func, patch_state: number): boolean;
	/**
	 * How many entries the walk may pass over: 1 (mainline: there is one transition at a time, so the entry below is
	 * not in transition, and the handler does not check it), or Infinity.
	 */
	readonly looks: 1 | typeof Number.POSITIVE_INFINITY;
	/** A handler that replaces this walk. */
	readonly handler?: CustomHandler;
}

/** The handler of a design that `sees` and `looks` cannot describe. */
export interface CustomHandler {
	/** The entry that a task in `patch_state` takes; undefined: the original. func_stack is not empty. Pure. */
	select(ops: klp_ops, patch_state: number): klp_func | undefined;
	/** The same handler, up to the next read that can race. See {@link klp_ftrace_handler_step}. */
	step(ops: klp_ops, task: task_struct, at: HandlerAt): HandlerAt | HandlerChoice;
}

/** The handler has finished: the entry that it takes, or undefined for the original. */
export interface HandlerChoice {
	readonly chosen: klp_func | undefined;
}

/**
 * The place of the handler between two reads that can race: its last read, and all values that it holds.
 * - `locked`: it holds the recursion lock, preemption is disabled; it has read nothing yet.
 * - `func_stack`: it has found the entry `func`.
 * - `transition`: `flag` is the value that it read from func->transition.
 * - `patch_state`: it has read the task's; `flag`: the task sees `func`.
 */
export type HandlerAt =
	| { readonly at: "locked" }
	| { readonly at: "func_stack"; readonly func: klp_func }
	| { readonly at: "transition" | "patch_state"; readonly func: klp_func; readonly flag: boolean };

// ---- without a stop ----

/**
 * The entry that a task in `patch_state` takes; undefined: the end of the stack, so the original. `first` is the newest entry.
 */
function walk(
	first: list_head<klp_func>,
	patch_state: number,
	sees: HandlerRules["sees"],
	looks: number,
): klp_func | undefined {
	let node = first;
	for (let passed = 0; ; passed++) {
		const func = node.owner;
		if (func === undefined || func.transition !== true || passed >= looks || sees(func, patch_state)) return func;
		node = node.next;
	}
}

/** The entry that a task in `patch_state` takes; undefined: the original, also for a nop. func_stack is not empty. */
export function select(rules: HandlerRules, ops: klp_ops, patch_state: number): klp_func | undefined {
	if (rules.handler !== undefined) return rules.handler.select(ops, patch_state);
	const func = walk(ops.func_stack.next, patch_state, rules.sees, rules.looks);
	return func?.nop ? undefined : func;
}

/** The parts of the kernel that the handler uses. */
export interface HandlerParts {
	/** `current` */
	readonly sched: { readonly current: task_struct };
	readonly ftrace: Ftrace;
	readonly dmesg: Dmesg;
	readonly memory: Memory;
}

/** A handler made by hotHandler(). */
export interface HotHandler {
	readonly handle: (fops: Kaddr) => Kaddr;
	/** Drops the ops of the last call, which may be another object after a restore. */
	readonly forget: () => void;
}

/**
 * Makes the ftrace call-back of every livepatched function, the part in TypeScript: of ip, parent_ip, fops and fregs it
 * needs only fops. It returns the new ip for fregs; 0: the ip does not change. Errors go to `caught`, see StoreGate.
 */
export function klp_ftrace_handler(
	{ sched, ftrace, dmesg }: HandlerParts,
	rules: HandlerRules,
	caught: (error: unknown) => number,
): HotHandler {
	const none = new klp_ops(0);
	none.fops = new FtraceOps("none", none, 0, undefined, 0);
	const choose = rules.handler?.select.bind(rules.handler);
	return hotHandler(
		sched,
		ftrace,
		dmesg,
		rules.sees,
		rules.looks === 1 ? 1 : 0x3fff_ffff,
		choose,
		caught,
		isRecursion,
		none,
	);
}

/*
 * The hot path: from a guest address to a guest address. Measured by: npm run bench -- --suite handler. Reasons for its
 * form:
 *
 * - Values that never change are looked up once, outside: each step of a chain `a.b.c` costs a load that depends on the
 *   one before.
 * - These values are parameters: at each use of a captured `const` or an imported name, V8 checks that it is
 *   initialised; a parameter needs no check. For the same reason KLP_TRANSITION_IDLE is not named: `state < 0`.
 * - `=== true` compares two words; a test for truth checks the type first.
 * - `looks === 1` is walk() without the loop, and calls the design first: mainline's result is in a register,
 *   `transition` in memory.
 * - `looks` is a small integer: Infinity is a double, and `passed` would become a double too.
 * - `last`: the ops of the call before. The processor can predict that it is the same ops again, and then reads through
 *   it without waiting for the address from guest memory.
 */
function hotHandler(
	sched: HandlerParts["sched"],
	ftrace: Ftrace,
	dmesg: Dmesg,
	sees: HandlerRules["sees"],
	looks: number,
	choose: CustomHandler["select"] | undefined,
	caught: (error: unknown) => number,
	recursing: typeof isRecursion,
	last: klp_ops,
): HotHandler {
	const none = last;
	const forget = () => {
		last = none;
	};
	const handle = (fops: Kaddr) => {
		try {
			const task = sched.current;
			if (last.fops.address !== fops) {
				const found = ftrace.opsAt(fops)?.owner as klp_ops | undefined;
				if (found?.fops?.address !== fops) throw badOps(fops);
				last = found;
			}
			const ops = last;
			// ftrace_test_recursion_trylock(). It also disables preemption, which klp_synchronize_transition() waits for; here no
			// task can come in between.
			if (recursing(task)) {
				dmesg.WARN_ON_ONCE(true, "klp_ftrace_handler: recursion");
				return 0;
			}
			const node = ops.func_stack.next;
			const first = node.owner;
			if (first === undefined) {
				dmesg.WARN_ON_ONCE(true, "klp_ftrace_handler: !func");
				return 0;
			}
			const state = task.patch_state;
			// KLP_TRANSITION_IDLE
			if (state < 0 && first.transition === true) {
				dmesg.WARN_ON_ONCE(true, "klp_ftrace_handler: patch_state == KLP_TRANSITION_IDLE");
			}
			let func: klp_func | undefined;
			if (choose !== undefined) func = choose(ops, state);
			else if (looks === 1) func = sees(first, state) || first.transition !== true ? first : node.next.owner;
			else func = walk(node, state, sees, looks);
			// A nop must not set the ip: new_func is the function itself, so the task would call this handler again
			// without end.
			return func === undefined || func.nop === true ? 0 : func.new_func;
		} catch (error) {
			return caught(error);
		}
	};
	return { handle, forget };
}

/** Guest code has called the handler with an address that is no ops of a livepatch: it would read through it. */
function badOps(fops: Kaddr): GuestFault {
	return new GuestFault(
		{ kind: "page-fault", address: toU64(fops), access: "read" },
		`klp_ftrace_handler: no klp_ops at ${hex(fops)}`,
	);
}

// ---- one read at a time ----

/**
 * The next step of klp_ftrace_handler() after `at`, for `current`; `at` undefined: it has just been called. Returns the
 * new place, or undefined if the handler has returned.
 */
export function klp_ftrace_handler_step(
	{ sched, dmesg, memory }: HandlerParts,
	rules: HandlerRules,
	fops: ftrace_ops,
	fregs: Kaddr,
	at: HandlerAt | undefined,
): HandlerAt | undefined {
	const task = sched.current;
	const ops = fops.owner as klp_ops;
	if (at === undefined) {
		const recursion = trace_test_and_set_recursion(task, TRACE_FTRACE_START) < 0;
		return dmesg.WARN_ON_ONCE(recursion, "klp_ftrace_handler: recursion") ? undefined : { at: "locked" };
	}
	const empty = at.at === "locked" && list_empty(ops.func_stack);
	if (!dmesg.WARN_ON_ONCE(empty, "klp_ftrace_handler: !func")) {
		const next = rules.handler?.step(ops, task, at) ?? walkStep(dmesg, rules, ops, task, at);
		if (!("chosen" in next)) return next;
		const { chosen } = next;
		if (chosen !== undefined && !chosen.nop) memory.setU32((fregs + PT_REGS.RIP) | 0, chosen.new_func >>> 0);
	}
	clearLastRecursion(task, TRACE_FTRACE_START);
	return undefined;
}

/** walk(), one read at a time. */
function walkStep(
	dmesg: Dmesg,
	{ sees, looks }: HandlerRules,
	ops: klp_ops,
	task: task_struct,
	at: HandlerAt,
): HandlerAt | HandlerChoice {
	switch (at.at) {
		case "locked":
			return found(ops.func_stack.next.owner);
		// smp_rmb(): func_stack before func->transition, see __klp_enable_patch().
		case "func_stack":
			return { at: "transition", func: at.func, flag: at.func.transition };
		// smp_rmb(): func->transition before patch_state, see klp_init_transition().
		case "transition": {
			const { func, flag } = at;
			if (!flag) return { chosen: func };
			const { patch_state } = task;
			// The kernel checks this for the first entry only.
			const first = looks === 1 || func.stack_node === ops.func_stack.next;
			const idle = first && patch_state === KLP_TRANSITION_IDLE;
			dmesg.WARN_ON_ONCE(idle, "klp_ftrace_handler: patch_state == KLP_TRANSITION_IDLE");
			const seen = sees(func, patch_state);
			return looks === 1 && seen ? { chosen: func } : { at: "patch_state", func, flag: seen };
		}
		case "patch_state": {
			if (at.flag) return { chosen: at.func };
			const next = at.func.stack_node.next.owner;
			return looks === 1 ? { chosen: next } : found(next);
		}
	}
}

function found(func: klp_func | undefined): HandlerAt | HandlerChoice {
	return func === undefined ? { chosen: undefined } : { at: "func_stack", func };
}
