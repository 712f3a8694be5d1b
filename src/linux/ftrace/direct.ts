import { declareState } from "../../base/index.js";
import type { Kaddr } from "../../memory/index.js";
import { EBUSY, EINVAL, ENOMEM, type FaultInjection, type Kernel, mutex } from "../lib/index.js";
import type { FtraceCore } from "./core.js";
import { FTRACE_OPS_CMD, FTRACE_OPS_FL, ftrace_ops } from "./ops.js";
import type { TrampolineTemplates } from "./trampoline.js";

const MULTI_FLAGS = FTRACE_OPS_FL.DIRECT | FTRACE_OPS_FL.SAVE_REGS;

/**
 * Functions that call sites call directly, without a ftrace trampoline, for example BPF trampolines
 * (kernel/trace/ftrace.c, CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS). If a site has other ops too, ftrace_regs_caller
 * jumps to the direct function at its end.
 */
export class DirectFunctions {
	static readonly state = declareState("DirectFunctions", { fields: ["direct_mutex", "direct_functions", "tmp_ops"] });

	readonly #ftrace: FtraceCore;
	readonly #templates: TrampolineTemplates;
	readonly direct_mutex = new mutex("direct_mutex");
	/** Site -> direct function. */
	readonly direct_functions: Map<Kaddr, Kaddr>;
	/** Keeps sites on the list function while their direct function changes. Static, as in the kernel. */
	private readonly tmp_ops: ftrace_ops;

	readonly #faults: FaultInjection;

	constructor(ftrace: FtraceCore, templates: TrampolineTemplates, faults: FaultInjection) {
		this.#faults = faults;
		this.#ftrace = ftrace;
		this.direct_functions = ftrace.sites.direct_functions;
		this.#templates = templates;
		this.tmp_ops = new ftrace_ops("tmp_ops", undefined, templates.ftrace_stub, undefined, FTRACE_OPS_FL.STUB);
	}

	/** The direct function of a site; 0: none. */
	ftrace_find_rec_direct(ip: Kaddr): Kaddr {
		return this.direct_functions.get(ip) ?? 0;
	}

	/**
	 * Makes the sites in the filter of `ops` call `addr`. -EBUSY: a site has a direct function already, or an IPMODIFY
	 * ops with which `ops` cannot share it; -EAGAIN: `ops_func` has changed something and the caller must try again.
	 */
	*register_ftrace_direct(ops: ftrace_ops, addr: Kaddr): Kernel<number> {
		if (ops.func !== 0 || ops.trampoline !== 0) return -EINVAL;
		if (ops.flags & FTRACE_OPS_FL.ENABLED) return -EINVAL;
		if (ops.filter_hash.size === 0) return -EINVAL;
		yield* this.direct_mutex.lock();
		if ([...ops.filter_hash].some((ip) => this.direct_functions.has(ip))) {
			this.direct_mutex.unlock();
			return -EBUSY;
		}
		if (this.#faults.should_fail("alloc_ftrace_hash(direct_functions)")) {
			this.direct_mutex.unlock();
			return -ENOMEM;
		}
		for (const ip of ops.filter_hash) this.direct_functions.set(ip, addr);
		ops.func = this.#templates.call_direct_funcs;
		ops.flags = MULTI_FLAGS;
		ops.trampoline = this.#templates.ftrace_regs_caller;
		ops.direct_call = addr;
		const ret = yield* this.#ftrace.register_ftrace_function_nolock(ops);
		if (ret !== 0) this.#reset_direct(ops, addr);
		this.direct_mutex.unlock();
		return ret;
	}

	*unregister_ftrace_direct(ops: ftrace_ops, addr: Kaddr): Kernel<number> {
		if ((ops.flags & MULTI_FLAGS) !== MULTI_FLAGS || !(ops.flags & FTRACE_OPS_FL.ENABLED)) return -EINVAL;
		yield* this.direct_mutex.lock();
		const ret = yield* this.#ftrace.unregister_ftrace_function_nolock(ops);
		this.#reset_direct(ops, addr);
		this.direct_mutex.unlock();
		return ret;
	}

	/** Gives a registered direct ops another function. */
	*modify_ftrace_direct(ops: ftrace_ops, addr: Kaddr): Kernel<number> {
		if ((ops.flags & MULTI_FLAGS) !== MULTI_FLAGS || !(ops.flags & FTRACE_OPS_FL.ENABLED)) return -EINVAL;
		yield* this.direct_mutex.lock();
		const ret = yield* this.modify_ftrace_direct_nolock(ops, addr);
		this.direct_mutex.unlock();
		return ret;
	}

	/** For a caller that holds direct_mutex, as an `ops_func` does. */
	*modify_ftrace_direct_nolock(ops: ftrace_ops, addr: Kaddr): Kernel<number> {
		// While a second ops is registered, the sites call the list function, which reads direct_call. So each call
		// uses either the old or the new direct function.
		const tmp_ops = this.tmp_ops;
		tmp_ops.filter_hash = ops.filter_hash;
		let ret = yield* this.#ftrace.register_ftrace_function_nolock(tmp_ops);
		if (ret !== 0) return ret;
		ret = yield* this.#ftrace.askToShare(ops);
		if (ret === 0) {
			for (const ip of ops.filter_hash) if (this.direct_functions.has(ip)) this.direct_functions.set(ip, addr);
			ops.direct_call = addr;
			yield "__modify_ftrace_direct: direct_call";
		}
		yield* this.#ftrace.unregister_ftrace_function_nolock(tmp_ops);
		return ret;
	}

	#reset_direct(ops: ftrace_ops, addr: Kaddr): void {
		for (const ip of ops.filter_hash) {
			if (this.direct_functions.get(ip) === addr) this.direct_functions.delete(ip);
		}
		ops.func = 0;
		ops.trampoline = 0;
	}

	#directAt(ip: Kaddr): ftrace_ops | undefined {
		return [...this.#ftrace.ftrace_ops_list].find((ops) => ops.flags & FTRACE_OPS_FL.DIRECT && ops.traces(ip));
	}

	/** Before an IPMODIFY ops is registered: checks that it may share its sites with their direct functions. */
	*prepare_direct_functions_for_ipmodify(ops: ftrace_ops): Kernel<number> {
		if (!(ops.flags & FTRACE_OPS_FL.IPMODIFY)) return 0;
		for (const ip of ops.filter_hash) {
			const direct = this.direct_functions.has(ip) ? this.#directAt(ip) : undefined;
			if (direct === undefined) continue;
			if (direct.ops_func === undefined) return -EBUSY;
			const ret = yield* direct.ops_func(FTRACE_OPS_CMD.ENABLE_SHARE_IPMODIFY_PEER);
			if (ret !== 0) return ret;
		}
		return 0;
	}

	/**
	 * After an IPMODIFY ops is unregistered: its direct functions may change back. Errors are ignored, as in the
	 * kernel.
	 */
	*cleanup_direct_functions_after_ipmodify(ops: ftrace_ops): Kernel<void> {
		if (!(ops.flags & FTRACE_OPS_FL.IPMODIFY)) return;
		yield* this.direct_mutex.lock();
		for (const ip of ops.filter_hash) {
			const func = this.direct_functions.has(ip) ? this.#directAt(ip)?.ops_func : undefined;
			if (func !== undefined) yield* func(FTRACE_OPS_CMD.DISABLE_SHARE_IPMODIFY_PEER);
		}
		this.direct_mutex.unlock();
	}
}
