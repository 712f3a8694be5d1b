import { declareState } from "../../base/index.js";
import type { Kernel } from "../lib/index.js";
import { FtraceCore, type FtraceParts } from "./core.js";
import { DirectFunctions } from "./direct.js";
import type { ftrace_ops } from "./ops.js";

/** kernel/trace/ftrace.c: decides which ops are called at each fentry site. */
export class Ftrace extends FtraceCore {
	static readonly state = declareState("Ftrace", {
		fields: [
			...["sites", "trampolines", "direct", "ftrace_lock", "ftrace_ops_list", "opsByAddress"],
			...["ftrace_enabled", "ftrace_disabled", "ftrace_trace_function", "saved_ftrace_func", "sharedCallerUsed"],
		],
		dropCaches: (ftrace: Ftrace) => ftrace.dropCaches(),
	});

	readonly direct: DirectFunctions;

	constructor(parts: FtraceParts) {
		super(parts);
		this.direct = new DirectFunctions(this, parts.templates, parts.faults);
	}

	/**
	 * Attaches an ops to the sites of its filter. -EBUSY: it changes the ip at a site where another ops or a direct
	 * function does.
	 */
	*register_ftrace_function(ops: ftrace_ops): Kernel<number> {
		yield* this.direct.direct_mutex.lock();
		let ret = yield* this.direct.prepare_direct_functions_for_ipmodify(ops);
		if (ret === 0) ret = yield* this.register_ftrace_function_nolock(ops);
		this.direct.direct_mutex.unlock();
		return ret;
	}

	*unregister_ftrace_function(ops: ftrace_ops): Kernel<number> {
		const ret = yield* this.unregister_ftrace_function_nolock(ops);
		yield* this.direct.cleanup_direct_functions_after_ipmodify(ops);
		return ret;
	}
}
