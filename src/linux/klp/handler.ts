import type { Kaddr, Memory } from "../../memory/index.js";
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
import { type Dmesg, list_empty, type list_head } from "../lib/index.js";
import type { task_struct } from "../sched/index.js";
import { KLP_TRANSITION_IDLE, type klp_func, klp_ops } from "./types.js";

/*
 * klp_ftrace_handler() of kernel/livepatch/patch.c: what every call of a livepatched function goes through. It stands here twice,
 * and test/designs/handler.test.ts holds both equal:
 *
 * - walk() with hotHandler(), which runs in one go: what the gate calls. This is the text to read first.
 * - klp_ftrace_handler_step(), which stops behind each read that can race with a transition: for the explorer.
 */

/** What a replace design says about the walk down a func_stack. */
export interface HandlerRules {
	/**
	 * Does a task in `patch_state` take this entry, which is in transition? An entry that is not in transition is taken by every
	 * task. Pure: observers ask too.
	 */
	sees(func: klp_func, patch_state: number): boolean;
	/**
	 * How many entries may be passed over: 1 (mainline: what lies below is not in transition, for there is one transition at a
	 * time; the handler does not even look), or Infinity.
	 */
	readonly looks: 1 | typeof Number.POSITIVE_INFINITY;
	/** A handler that is not this walk. */
	readonly handler?: CustomHandler;
}

/** The handler of a design that `sees` and `looks` cannot describe. */
export interface CustomHandler {
	/** The entry that a task in `patch_state` takes; undefined: the original. func_stack is not empty. Pure. */
	select(ops: klp_ops, patch_state: number): klp_func | undefined;
	/** The same, up to the next read that can race. See {@link klp_ftrace_handler_step}. */
	step(ops: klp_ops, task: task_struct, at: HandlerAt): HandlerAt | HandlerChoice;
}

/** The handler is through: the entry that it takes, or undefined for the original. */
export interface HandlerChoice {
	readonly chosen: klp_func | undefined;
}

/**
 * Where the handler is between two reads that can race: what it has just read, and all that it remembers.
 * - `locked`: it holds the recursion lock, preemption is disabled; nothing is read.
 * - `func_stack`: it has found the entry `func`.
 * - `transition`: `flag` is what it read of func->transition.
 * - `patch_state`: it has read the task's; `flag`: the task sees `func`.
 */
export type HandlerAt =
	| { readonly at: "locked" }
	| { readonly at: "func_stack"; readonly func: klp_func }
	| { readonly at: "transition" | "patch_state"; readonly func: klp_func; readonly flag: boolean };

// ---- in one go ----

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

/** What the handler needs of the rest of the kernel. */
export interface HandlerParts {
	/** `current` */
	readonly sched: { readonly current: task_struct };
	readonly ftrace: Ftrace;
	readonly dmesg: Dmesg;
	readonly memory: Memory;
}

/** A handler that was made. */
export interface HotHandler {
	readonly handle: (fops: Kaddr) => Kaddr;
	/** Drops what it remembers of the ops of its last call: they may be others after a restore. */
	readonly forget: () => void;
}

/**
 * Makes the ftrace call-back of every livepatched function, as far as it is TypeScript: of ip, parent_ip, fops and fregs it needs
 * one. It returns what the ip in fregs becomes; 0: it remains as it is. What is thrown goes to `caught`, see StoreGate.
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
 * The hot path: a guest address in, a guest address out. Measured: npm run bench -- --suite handler. Why it looks as it does:
 *
 * - What never changes is looked up once, outside: each step of a chain `a.b.c` costs a load that depends on the one before.
 * - It is handed in as parameters: V8 asks of a captured `const`, and of an imported name, at each use whether it has its value
 *   already; a parameter has. For the same reason KLP_TRANSITION_IDLE is not named: `state < 0`.
 * - `=== true` compares two words; a test for truth asks for the type first.
 * - `looks === 1` is walk() without the loop, and asks the design first: mainline's answer is in a register, `transition` in memory.
 * - `looks` is a small integer: Infinity is a double, and `passed` would become one.
 * - `last`: the ops of the call before. Whether it is the one again can be predicted; what is read through it need not wait until
 *   the address has come out of guest memory.
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
			if (last.fops.address !== fops) last = ftrace.opsAt(fops)!.owner as klp_ops;
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
			// A nop must not set the ip: new_func is the function itself, and it would call here for ever.
			return func === undefined || func.nop === true ? 0 : func.new_func;
		} catch (error) {
			return caught(error);
		}
	};
	return { handle, forget };
}

// ---- one read at a time ----

/**
 * The next thing that klp_ftrace_handler() does after `at`, for `current`; undefined: it has just been called. The result is where
 * it is then, or undefined when it has returned.
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
			// The kernel asks this of the first entry only.
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
