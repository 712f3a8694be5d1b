import type { Kaddr, Memory } from "../../memory/index.js";
import { toU64 } from "../../memory/index.js";
import type { Symbols } from "../ftrace/index.js";
import type { GuestCalls } from "../guest/index.js";
import type { Kernel } from "../lib/index.js";

/** enum module_state, in its order. */
const STATES = ["live", "coming", "going"] as const;
/** Offset of the first block in struct blocking_notifier_head, behind a struct rw_semaphore. */
const HEAD = 40;

/** Functions of modules that are told of modules: register_module_notifier(), which asm/vmlinux/notifier.h has. */
export class ModuleNotifiers {
	readonly #memory: Memory;
	readonly #symbols: Symbols;
	readonly #calls: GuestCalls;

	constructor(parts: { readonly memory: Memory; readonly symbols: Symbols; readonly calls: GuestCalls }) {
		this.#memory = parts.memory;
		this.#symbols = parts.symbols;
		this.#calls = parts.calls;
	}

	/**
	 * Tells all of a module's state; `struct`: makes the address of its struct module. Returns the errno of one that refuses a module that
	 * comes: those before it are told that it goes.
	 */
	*tell(state: (typeof STATES)[number], struct: () => Kaddr): Kernel<number> {
		const list = this.#symbols.resolve("module_notify_list");
		const call = this.#symbols.resolve("tell_module_notifiers");
		if (list === undefined || call === undefined || this.#memory.u64((list + HEAD) | 0) === 0n) return 0;
		const undo = state === "coming" ? STATES.indexOf("going") : 0;
		const ret = yield* this.#calls.call(call, BigInt(STATES.indexOf(state)), toU64(struct()), BigInt(undo));
		return state === "coming" ? Number(BigInt.asIntN(32, ret)) : 0;
	}
}
