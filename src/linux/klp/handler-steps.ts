import type { Kaddr } from "../../memory/index.js";
import type { Core } from "./core.js";
import { HANDLER_AT, type HandlerAt } from "./design.js";
import type { HandlerPlace, HandlerStep } from "./livepatch.js";
import type { klp_func, klp_ops, klp_patch } from "./types.js";

const through = (title: string): HandlerStep => ({ place: undefined, title });

/**
 * klp_ftrace_handler() one step at a time, with the places in between as plain data. A klp_func has a name there, for the object
 * may be another one after a restore; a name that leads nowhere is memory that has been freed.
 */
export class HandlerSteps {
	readonly #core: Core;
	/** Patches that may be in a func_stack, or have been. */
	readonly #patches: readonly klp_patch[];

	constructor(core: Core, patches: readonly klp_patch[]) {
		this.#core = core;
		this.#patches = patches;
	}

	/** See {@link Livepatch.handlerStep}. */
	step(at: HandlerPlace | undefined, fops: Kaddr, fregs: Kaddr): HandlerStep {
		const { env, patching } = this.#core;
		const { comm } = env.running.current;
		const ops = env.ftrace.opsByAddress.get(fops);
		const func = at?.func === undefined ? undefined : this.#find(at.func);
		const freed = this.#freed(ops?.owner as klp_ops | undefined, at?.func, func);
		if (ops === undefined || freed !== undefined) {
			const where = `behind "${at?.label ?? ""}"`;
			this.#core.invalidRead(`${comm} is in klp_ftrace_handler(), ${where}, and goes on to read a freed ${freed}`);
			return through("");
		}
		const from: HandlerAt | undefined = at && {
			label: at.label,
			func,
			...(at.flag !== undefined && { flag: at.flag }),
		};
		const next = patching.klp_ftrace_handler_step(ops, fregs, from);
		if (next === undefined) return through("");
		const name = next.func === undefined ? undefined : this.#nameOf(next.func);
		if (next.func !== undefined && name === undefined) {
			this.#core.invalidRead(
				`${comm} finds a klp_func in func_stack that is gone with its module: ${next.func.new_name}`,
			);
			return through("");
		}
		const entry = next.label === HANDLER_AT.func_stack ? ` (${next.func?.nop ? "nop" : next.func?.new_name})` : "";
		return {
			place: { label: next.label, fops, func: name, flag: next.flag },
			title: `${next.label}${entry}`,
		};
	}

	#freed(ops: klp_ops | undefined, name: string | undefined, func: klp_func | undefined): string | undefined {
		if (ops === undefined || ops.freed) return "klp_ops";
		if (name !== undefined && (func === undefined || func.freed)) return `klp_func, ${describe(name)}`;
		return undefined;
	}

	/** See {@link Livepatch.handlerKey}. */
	key(): readonly unknown[] {
		const { transition, patching } = this.#core;
		const key: unknown[] = [transition.klp_target_state, transition.klp_sched_try_switch_key];
		// cond_resched() looks at the whole patch.
		if (transition.klp_sched_try_switch_key) key.push(transition.klp_transition_patch?.name);
		const names = new Map<klp_func, string>();
		for (const { name, func } of this.#funcs()) names.set(func, name);
		const nameOf = (func: klp_func | undefined) => (func === undefined ? "-" : (names.get(func) ?? "gone"));
		for (const [func, name] of names) {
			key.push(name, func.transition, func.universe, func.freed, nameOf(func.stack_node.next.owner));
		}
		for (const [old, ops] of patching.klp_ops) key.push(old, nameOf(ops.func_stack.next.owner));
		return key;
	}

	*#funcs(): Generator<{ readonly name: string; readonly func: klp_func }, void, void> {
		for (const patch of this.#patches) {
			// A patch whose module is gone is gone with it.
			if (this.#core.env.find_module(patch.mod.name) !== patch.mod) continue;
			for (const [index, obj] of patch.obj_list.entries()) {
				for (const func of obj.funcs) {
					const what = func.nop ? "nop" : func.new_func;
					yield { name: `${patch.name}@${what}/${index}/${func.old_name},${func.old_sympos}`, func };
				}
			}
		}
	}

	/** Undefined: it is of no module that is loaded. */
	#nameOf(func: klp_func): string | undefined {
		for (const named of this.#funcs()) if (named.func === func) return named.name;
		return undefined;
	}

	#find(name: string): klp_func | undefined {
		for (const named of this.#funcs()) if (named.name === name) return named.func;
		return undefined;
	}
}

/** A name of `#funcs()`, for people. */
function describe(name: string): string {
	const [, patch, kind, func] = /^(.*)@([^/]*)\/\d+\/(.*),\d+$/.exec(name)!;
	return kind === "nop" ? `the nop of ${patch} for ${func}` : `that of ${patch} for ${func}`;
}
