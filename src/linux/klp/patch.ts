import { declareState } from "../../base/index.js";
import type { Kaddr } from "../../memory/index.js";
import {
	clearLastRecursion,
	FTRACE_OPS_FL,
	ftrace_ops as FtraceOps,
	type ftrace_ops,
	isRecursion,
	PT_REGS,
	TRACE_FTRACE_START,
	trace_test_and_set_recursion,
} from "../ftrace/index.js";
import { EINVAL, ENOMEM, type Kernel, list_add, list_del_rcu, list_empty, list_is_singular } from "../lib/index.js";
import type { Core, KlpParts } from "./core.js";
import { type Design, HANDLER_AT, type HandlerAt } from "./design.js";
import { type klp_func, type klp_object, klp_ops, type klp_patch } from "./types.js";

/** kernel/livepatch/patch.c */
export class Patching {
	static readonly state = declareState({
		fields: ["klp_ops"],
		dropCaches: (patching: Patching) => {
			for (const forget of patching.#forgetLastOps) forget();
		},
	});

	readonly #klp: Core;
	/** klp_ops, keyed by the address of the old function. */
	readonly klp_ops = new Map<Kaddr, klp_ops>();
	/** Lets each handler that was made forget the ops of its last call. */
	readonly #forgetLastOps: (() => void)[] = [];

	constructor(klp: Core) {
		this.#klp = klp;
	}

	/**
	 * Makes the ftrace call-back of every livepatched function, as far as it is TypeScript: of ip, parent_ip, fops and fregs it needs
	 * one. It returns what the ip in fregs becomes; 0: it remains as it is. What is thrown goes to `caught`, see StoreGate.
	 */
	klp_ftrace_handler(caught: (error: unknown) => number): (fops: Kaddr) => Kaddr {
		const { env, design } = this.#klp;
		const none = new klp_ops(0);
		none.fops = new FtraceOps("none", none, 0, undefined, 0);
		const handler = handlerOf(env.sched, env.ftrace, design, env.dmesg, caught, isRecursion, none);
		this.#forgetLastOps.push(handler.forget);
		return handler.handle;
	}

	klp_find_ops(old_func: Kaddr): klp_ops | undefined {
		return this.klp_ops.get(old_func);
	}

	/**
	 * klp_ftrace_handler(), one read that can race at a time: `at` is where it was (undefined: at its entry), the result where it is
	 * then, or undefined when it is through. Property tests hold both equal.
	 */
	klp_ftrace_handler_step(fops: ftrace_ops, fregs: Kaddr, at: HandlerAt | undefined): HandlerAt | undefined {
		const { env, design } = this.#klp;
		const task = env.sched.current;
		const ops = fops.owner as klp_ops;
		if (at === undefined) {
			const recursion = trace_test_and_set_recursion(task, TRACE_FTRACE_START) < 0;
			if (env.dmesg.WARN_ON_ONCE(recursion, "klp_ftrace_handler: recursion")) return undefined;
			return { label: HANDLER_AT.locked };
		}
		const locked = at.label === HANDLER_AT.locked;
		if (!locked || !env.dmesg.WARN_ON_ONCE(list_empty(ops.func_stack), "klp_ftrace_handler: !func")) {
			const next = design.select_step(ops, task, locked ? undefined : at, () => {
				env.dmesg.WARN_ON_ONCE(true, "klp_ftrace_handler: patch_state == KLP_TRANSITION_IDLE");
			});
			if (!("chosen" in next)) return next;
			if (next.chosen !== undefined) env.memory.setU32((fregs + PT_REGS.RIP) | 0, next.chosen.new_func >>> 0);
		}
		clearLastRecursion(task, TRACE_FTRACE_START);
		return undefined;
	}

	*klp_unpatch_func(func: klp_func): Kernel<void> {
		const { env } = this.#klp;
		const { dmesg, ftrace } = env;
		if (dmesg.WARN_ON(!func.patched, "klp_unpatch_func: !func->patched")) return;
		if (dmesg.WARN_ON(func.old_func === 0, "klp_unpatch_func: !func->old_func")) return;
		const ops = this.klp_find_ops(func.old_func);
		if (ops === undefined) {
			dmesg.WARN_ON(true, "klp_unpatch_func: !ops");
			return;
		}
		if (list_is_singular(ops.func_stack)) {
			const ftrace_loc = ftrace.ftrace_location(func.old_func);
			if (dmesg.WARN_ON(ftrace_loc === 0, "klp_unpatch_func: !ftrace_loc")) return;
			const unregistered = yield* ftrace.unregister_ftrace_function(ops.fops);
			dmesg.WARN_ON(unregistered !== 0, "klp_unpatch_func: unregister_ftrace_function");
			const filtered = ftrace.ftrace_set_filter_ip(ops.fops, ftrace_loc, true);
			dmesg.WARN_ON(filtered !== 0, "klp_unpatch_func: ftrace_set_filter_ip");
			list_del_rcu(func.stack_node);
			this.klp_ops.delete(func.old_func);
			ops.freed = true;
		} else {
			list_del_rcu(func.stack_node);
		}
		yield `klp_unpatch_func: list_del_rcu(${func.nop ? `nop of ${func.old_name}` : func.new_name})`;
		func.patched = false;
	}

	*klp_patch_func(func: klp_func): Kernel<number> {
		const { dmesg } = this.#klp.env;
		if (dmesg.WARN_ON(func.old_func === 0, "klp_patch_func: !func->old_func")) return -EINVAL;
		if (dmesg.WARN_ON(func.patched, "klp_patch_func: func->patched")) return -EINVAL;
		const ops = this.klp_find_ops(func.old_func);
		if (ops === undefined) {
			const ret = yield* this.#firstPatch(func);
			if (ret !== 0) return ret;
		} else {
			list_add(func.stack_node, ops.func_stack);
			yield "klp_patch_func: list_add_rcu";
		}
		func.patched = true;
		return 0;
	}

	/** The first patch of a function attaches the handler. The func is on func_stack before anybody can call there. */
	*#firstPatch(func: klp_func): Kernel<number> {
		const { env, print } = this.#klp;
		const { ftrace } = env;
		const ftrace_loc = ftrace.ftrace_location(func.old_func);
		if (ftrace_loc === 0) {
			print.pr_err(`failed to find location for function '${func.old_name}'`);
			return -EINVAL;
		}
		if (env.faults.should_fail("kzalloc(struct klp_ops)")) return -ENOMEM;
		const ops = new klp_ops(func.old_func);
		ops.fops = new FtraceOps(
			func.old_name,
			ops,
			env.klp_ftrace_handler_address,
			undefined,
			FTRACE_OPS_FL.DYNAMIC | FTRACE_OPS_FL.IPMODIFY | FTRACE_OPS_FL.PERMANENT,
		);
		this.klp_ops.set(func.old_func, ops);
		list_add(func.stack_node, ops.func_stack);
		yield "klp_patch_func: list_add_rcu";

		let ret = ftrace.ftrace_set_filter_ip(ops.fops, ftrace_loc, false);
		if (ret !== 0) {
			print.pr_err(`failed to set ftrace filter for function '${func.old_name}' (${ret})`);
		} else {
			ret = yield* ftrace.register_ftrace_function(ops.fops);
			if (ret === 0) return 0;
			print.pr_err(`failed to register ftrace handler for function '${func.old_name}' (${ret})`);
			ftrace.ftrace_set_filter_ip(ops.fops, ftrace_loc, true);
		}
		list_del_rcu(func.stack_node);
		this.klp_ops.delete(func.old_func);
		ops.freed = true;
		return ret;
	}

	*#__klp_unpatch_object(obj: klp_object, nops_only: boolean): Kernel<void> {
		for (const func of [...obj.funcs]) {
			if (nops_only && !func.nop) continue;
			if (func.patched) yield* this.klp_unpatch_func(func);
		}
		if (obj.dynamic || !nops_only) obj.patched = false;
	}

	*klp_unpatch_object(obj: klp_object): Kernel<void> {
		yield* this.#__klp_unpatch_object(obj, false);
	}

	*klp_patch_object(obj: klp_object): Kernel<number> {
		if (this.#klp.env.dmesg.WARN_ON(obj.patched, "klp_patch_object: obj->patched")) return -EINVAL;
		for (const func of obj.funcs) {
			const ret = yield* this.klp_patch_func(func);
			if (ret !== 0) {
				yield* this.klp_unpatch_object(obj);
				return ret;
			}
		}
		obj.patched = true;
		return 0;
	}

	*klp_unpatch_objects(patch: klp_patch): Kernel<void> {
		for (const obj of patch.obj_list) if (obj.patched) yield* this.#__klp_unpatch_object(obj, false);
	}

	/** Only the nops. */
	*klp_unpatch_objects_dynamic(patch: klp_patch): Kernel<void> {
		for (const obj of patch.obj_list) if (obj.patched) yield* this.#__klp_unpatch_object(obj, true);
	}
}

/**
 * The hot path: a guest address in, a guest address out. What never changes is looked up once, here, for each step of a chain
 * costs; and it is parameters, for V8 asks of a captured constant at each use whether it has its value already.
 *
 * `last`: the ops of the call before. Whether it is the one again can be predicted; what is read through it need not wait until the
 * address has come out of guest memory.
 */
function handlerOf(
	running: KlpParts["sched"],
	ftrace: KlpParts["ftrace"],
	design: Design,
	dmesg: KlpParts["dmesg"],
	caught: (error: unknown) => number,
	recursing: typeof isRecursion,
	last: klp_ops,
): { readonly handle: (fops: Kaddr) => Kaddr; readonly forget: () => void } {
	const none = last;
	const forget = () => {
		last = none;
	};
	const handle = (fops: Kaddr) => {
		try {
			const task = running.current;
			if (last.fops.address !== fops) last = ftrace.opsAt(fops)!.owner as klp_ops;
			const ops = last;
			// ftrace_test_recursion_trylock(). It also disables preemption, which klp_synchronize_transition() waits for; here
			// nobody can come in between.
			if (recursing(task)) {
				dmesg.WARN_ON_ONCE(true, "klp_ftrace_handler: recursion");
				return 0;
			}
			const first = ops.func_stack.next.owner;
			if (first === undefined) {
				dmesg.WARN_ON_ONCE(true, "klp_ftrace_handler: !func");
				return 0;
			}
			const state = task.patch_state;
			// KLP_TRANSITION_IDLE
			if (state < 0 && first.transition === true) {
				dmesg.WARN_ON_ONCE(true, "klp_ftrace_handler: patch_state == KLP_TRANSITION_IDLE");
			}
			const func = design.select(ops, state);
			// A nop must not set the ip: new_func is the function itself, and it would call here for ever.
			return func === undefined ? 0 : func.new_func;
		} catch (error) {
			return caught(error);
		}
	};
	return { handle, forget };
}
