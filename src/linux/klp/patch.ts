import { declareState } from "../../base/index.js";
import type { Kaddr } from "../../memory/index.js";
import { FTRACE_OPS_FL, ftrace_ops as FtraceOps } from "../ftrace/index.js";
import { EINVAL, ENOMEM, type Kernel, list_add, list_del_rcu, list_is_singular } from "../lib/index.js";
import type { Core } from "./design.js";
import { type klp_func, type klp_object, klp_ops, type klp_patch } from "./types.js";

/** kernel/livepatch/patch.c */
export class Patching {
	static readonly state = declareState("Patching", { fields: ["klp_ops"] });

	readonly #klp: Core;
	/** klp_ops, keyed by the address of the old function. */
	readonly klp_ops = new Map<Kaddr, klp_ops>();

	constructor(klp: Core) {
		this.#klp = klp;
	}

	klp_find_ops(old_func: Kaddr): klp_ops | undefined {
		return this.klp_ops.get(old_func);
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

	/**
	 * The first patch of a function attaches the handler. The func is on func_stack before any task can call the
	 * handler.
	 */
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

	/** Unpatches only the nops. */
	*klp_unpatch_objects_dynamic(patch: klp_patch): Kernel<void> {
		for (const obj of patch.obj_list) if (obj.patched) yield* this.#__klp_unpatch_object(obj, true);
	}
}
