import type { Kaddr } from "../../memory/index.js";
import type { Core } from "./design.js";
import { type HandlerAt, klp_ftrace_handler_step } from "./handler.js";
import type { EntryId, HandlerPlace, HandlerStep } from "./livepatch.js";
import type { klp_func, klp_ops, klp_patch } from "./types.js";

/** Description of the handler's last step, for reports. */
const TITLE: Readonly<Record<HandlerPlace["at"], string>> = {
	locked: "klp_ftrace_handler: preempt_disable",
	func_stack: "klp_ftrace_handler: func_stack",
	transition: "klp_ftrace_handler: func->transition",
	patch_state: "klp_ftrace_handler: patch_state",
};

/** The handler has returned. */
const RETURNED: HandlerStep = { place: undefined, title: "" };

/** As a part of a state's key. */
export function entryKey({ patch, object, old_name, old_sympos, new_func }: EntryId): string {
	return `${patch}@${new_func ?? "nop"}/${object}/${old_name},${old_sympos}`;
}

/** For reports. */
function describeEntry({ patch, old_name, new_func }: EntryId): string {
	return new_func === undefined ? `the nop of ${patch} for ${old_name}` : `that of ${patch} for ${old_name}`;
}

/** klp_ftrace_handler() one step at a time, with the places between the steps as plain data. */
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
		const { env, design } = this.#core;
		const ops = env.ftrace.opsByAddress.get(fops);
		if (ops === undefined || (ops.owner as klp_ops).freed) return this.#readsFreed(at, "klp_ops");
		const func = at?.func && this.#find(at.func);
		if (at?.func !== undefined && func === undefined) {
			return this.#readsFreed(at, `klp_func, ${describeEntry(at.func)}`);
		}
		const next = klp_ftrace_handler_step(env, design, ops, fregs, at && resumed(at, func));
		if (next === undefined) return RETURNED;
		const title = TITLE[next.at];
		if (next.at === "locked") return { place: { at: next.at, fops, func: undefined, flag: undefined }, title };
		const id = this.#idOf(next.func);
		if (id === undefined) {
			const { new_name } = next.func;
			this.#invalidRead(`finds a klp_func in func_stack that is gone with its module: ${new_name}`);
			return RETURNED;
		}
		if (next.at !== "func_stack") return { place: { at: next.at, fops, func: id, flag: next.flag }, title };
		const entry = next.func.nop ? "nop" : next.func.new_name;
		return { place: { at: next.at, fops, func: id, flag: undefined }, title: `${title} (${entry})` };
	}

	#readsFreed(at: HandlerPlace | undefined, what: string): HandlerStep {
		const where = at === undefined ? "" : TITLE[at.at];
		this.#invalidRead(`is in klp_ftrace_handler(), behind "${where}", and goes on to read a freed ${what}`);
		return RETURNED;
	}

	#invalidRead(what: string): void {
		this.#core.invalidRead(`${this.#core.env.sched.current.comm} ${what}`);
	}

	/** See {@link Livepatch.handlerKey}. */
	key(): readonly unknown[] {
		const { transition, patching } = this.#core;
		const key: unknown[] = [transition.klp_target_state, transition.klp_sched_try_switch_key];
		// cond_resched() reads the whole patch.
		if (transition.klp_sched_try_switch_key) key.push(transition.klp_transition_patch?.name);
		const names = new Map<klp_func, string>();
		for (const [id, func] of this.#entries()) names.set(func, entryKey(id));
		const nameOf = (func: klp_func | undefined) => (func === undefined ? "-" : (names.get(func) ?? "gone"));
		for (const [func, name] of names) {
			key.push(name, func.transition, func.mark, func.freed, nameOf(func.stack_node.next.owner));
		}
		for (const [old, ops] of patching.klp_ops) key.push(old, nameOf(ops.func_stack.next.owner));
		return key;
	}

	/** All klp_funcs of loaded modules. A patch is freed with its module. */
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

	/** Undefined: the klp_func does not belong to a loaded module. */
	#idOf(func: klp_func): EntryId | undefined {
		for (const [id, entry] of this.#entries()) if (entry === func) return id;
		return undefined;
	}

	/** Undefined: the klp_func is freed. */
	#find(wanted: EntryId): klp_func | undefined {
		const key = entryKey(wanted);
		for (const [id, entry] of this.#entries()) if (entryKey(id) === key) return entry.freed ? undefined : entry;
		return undefined;
	}
}

/** The place, with the klp_func object at which the handler is now. */
function resumed({ at, flag = false }: HandlerPlace, func: klp_func | undefined): HandlerAt {
	if (at === "locked" || func === undefined) return { at: "locked" };
	return at === "func_stack" ? { at, func } : { at, func, flag };
}
