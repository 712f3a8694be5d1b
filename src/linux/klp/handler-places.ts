import type { Kaddr } from "../../memory/index.js";
import type { Core } from "./core.js";
import { HANDLER_AT, type HandlerAt } from "./design.js";
import type { EntryId, HandlerPlace, HandlerStep } from "./livepatch.js";
import type { klp_func, klp_ops, klp_patch } from "./types.js";

/** The handler has returned. */
const RETURNED: HandlerStep = { place: undefined, title: "" };

/** As a part of a state's key. */
export function entryKey({ patch, object, old_name, old_sympos, new_func }: EntryId): string {
	return `${patch}@${new_func ?? "nop"}/${object}/${old_name},${old_sympos}`;
}

/** For people. */
function describeEntry({ patch, old_name, new_func }: EntryId): string {
	return new_func === undefined ? `the nop of ${patch} for ${old_name}` : `that of ${patch} for ${old_name}`;
}

/** klp_ftrace_handler() one step at a time, with the places in between as plain data. */
export class HandlerPlaces {
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
		const { comm } = env.sched.current;
		const ops = env.ftrace.opsByAddress.get(fops);
		const func = at?.func === undefined ? undefined : this.#find(at.func);
		const freed = whatIsFreed(ops?.owner as klp_ops | undefined, at?.func, func);
		if (ops === undefined || freed !== undefined) {
			const where = `behind "${at?.label ?? ""}"`;
			this.#core.invalidRead(`${comm} is in klp_ftrace_handler(), ${where}, and goes on to read a freed ${freed}`);
			return RETURNED;
		}
		const from: HandlerAt | undefined = at && {
			label: at.label,
			func,
			...(at.flag !== undefined && { flag: at.flag }),
		};
		const next = patching.klp_ftrace_handler_step(ops, fregs, from);
		if (next === undefined) return RETURNED;
		const id = next.func === undefined ? undefined : this.#idOf(next.func);
		if (next.func !== undefined && id === undefined) {
			this.#core.invalidRead(
				`${comm} finds a klp_func in func_stack that is gone with its module: ${next.func.new_name}`,
			);
			return RETURNED;
		}
		const found = next.label === HANDLER_AT.func_stack ? ` (${next.func?.nop ? "nop" : next.func?.new_name})` : "";
		return { place: { label: next.label, fops, func: id, flag: next.flag }, title: `${next.label}${found}` };
	}

	/** See {@link Livepatch.handlerKey}. */
	key(): readonly unknown[] {
		const { transition, patching } = this.#core;
		const key: unknown[] = [transition.klp_target_state, transition.klp_sched_try_switch_key];
		// cond_resched() looks at the whole patch.
		if (transition.klp_sched_try_switch_key) key.push(transition.klp_transition_patch?.name);
		const names = new Map<klp_func, string>();
		for (const [id, func] of this.#entries()) names.set(func, entryKey(id));
		const nameOf = (func: klp_func | undefined) => (func === undefined ? "-" : (names.get(func) ?? "gone"));
		for (const [func, name] of names) {
			key.push(name, func.transition, func.universe, func.freed, nameOf(func.stack_node.next.owner));
		}
		for (const [old, ops] of patching.klp_ops) key.push(old, nameOf(ops.func_stack.next.owner));
		return key;
	}

	/** All klp_funcs of modules that are loaded. A patch whose module is gone is gone with it. */
	*#entries(): Generator<readonly [EntryId, klp_func]> {
		for (const patch of this.#patches) {
			if (this.#core.env.modules.get(patch.mod.name) !== patch.mod) continue;
			for (const [object, { funcs }] of patch.obj_list.entries()) {
				for (const func of funcs) {
					const { old_name, old_sympos, nop, new_func } = func;
					yield [{ patch: patch.name, object, old_name, old_sympos, new_func: nop ? undefined : new_func }, func];
				}
			}
		}
	}

	/** Undefined: the klp_func is of no module that is loaded. */
	#idOf(func: klp_func): EntryId | undefined {
		for (const [id, entry] of this.#entries()) if (entry === func) return id;
		return undefined;
	}

	#find(wanted: EntryId): klp_func | undefined {
		const key = entryKey(wanted);
		for (const [id, entry] of this.#entries()) if (entryKey(id) === key) return entry;
		return undefined;
	}
}

/** Undefined: the handler can go on. */
function whatIsFreed(
	ops: klp_ops | undefined,
	id: EntryId | undefined,
	func: klp_func | undefined,
): string | undefined {
	if (ops === undefined || ops.freed) return "klp_ops";
	if (id !== undefined && (func === undefined || func.freed)) return `klp_func, ${describeEntry(id)}`;
	return undefined;
}
