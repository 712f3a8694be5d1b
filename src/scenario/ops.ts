import { KlpemuError } from "../base/index.js";
import { FTRACE_OPS_CMD, FTRACE_OPS_FL, ftrace_ops, type ftrace_ops_cmd, PT_REGS } from "../linux/ftrace/index.js";
import { EAGAIN, EBUSY, EINVAL, type Kernel } from "../linux/lib/index.js";
import type { Machine } from "../machine/index.js";
import type { Kaddr } from "../memory/index.js";
import type { OpsSpec } from "./types.js";

interface Registered {
	readonly spec: OpsSpec;
	readonly ops: ftrace_ops;
	/** DIRECT: the function that the sites call now. */
	direct: Kaddr;
}

/** The ops that a scenario attaches beside livepatches. */
export class ScenarioOps {
	readonly #machine: Machine;
	readonly #specs: ReadonlyMap<string, OpsSpec>;
	readonly #registered = new Map<string, Registered>();
	/** Calls by ops since it was last registered; only of those without a function of the guest. */
	readonly calls = new Map<string, number>();

	constructor(machine: Machine, specs: ReadonlyMap<string, OpsSpec>) {
		this.#machine = machine;
		this.#specs = specs;
	}

	/** register_ftrace_function() or register_ftrace_direct(): 0 or a negative errno; -EBUSY also when it is registered already. */
	*register(name: string): Kernel<number> {
		const spec = this.#specs.get(name)!;
		if (this.#registered.has(name)) return -EBUSY;
		const { ftrace } = this.#machine;
		const ops = this.#make(spec);
		ops.filter_hash = new Set(spec.funcs.map((func) => this.#site(spec, func)));
		const registered: Registered = { spec, ops, direct: 0 };
		this.calls.set(name, 0);
		const ret = yield* spec.direct === undefined
			? ftrace.register_ftrace_function(ops)
			: this.#registerDirect(registered, this.#function(spec.direct));
		if (ret === 0) this.#registered.set(name, registered);
		return ret;
	}

	/** The reverse; -EINVAL when it is not registered. */
	*unregister(name: string): Kernel<number> {
		const registered = this.#registered.get(name);
		if (registered === undefined) return -EINVAL;
		const { ops, direct } = registered;
		const { ftrace } = this.#machine;
		const ret = yield* direct === 0
			? ftrace.unregister_ftrace_function(ops)
			: ftrace.direct.unregister_ftrace_direct(ops, direct);
		if (ret === 0) this.#registered.delete(name);
		return ret;
	}

	#make(spec: OpsSpec): ftrace_ops {
		if (spec.direct !== undefined) return new ftrace_ops(spec.name, spec, 0, undefined, 0);
		const { memory } = this.#machine;
		const flags = spec.flags.reduce((bits, flag) => bits | FTRACE_OPS_FL[flag], FTRACE_OPS_FL.DYNAMIC as number);
		if (spec.func !== undefined) return new ftrace_ops(spec.name, spec, this.#function(spec.func), undefined, flags);
		const target = spec.ip === undefined ? 0 : this.#function(spec.ip);
		const call = (_ip: Kaddr, _parent_ip: Kaddr, _ops: Kaddr, fregs: Kaddr) => {
			this.calls.set(spec.name, this.calls.get(spec.name)! + 1);
			if (target !== 0) memory.setKaddr((fregs + PT_REGS.RIP) | 0, target);
		};
		const ipmodify = target === 0 ? 0 : FTRACE_OPS_FL.IPMODIFY;
		return new ftrace_ops(spec.name, spec, this.#machine.ftrace_host_func, call, flags | ipmodify);
	}

	/**
	 * As a BPF trampoline registers itself (kernel/bpf/trampoline.c, bpf_trampoline_update()): where it must share a site with an
	 * IPMODIFY ops, it says -EAGAIN, makes another trampoline, and tries again.
	 */
	*#registerDirect(registered: Registered, addr: Kaddr): Kernel<number> {
		const { spec, ops } = registered;
		const { direct } = this.#machine.ftrace;
		const shared = spec.shared === undefined ? 0 : this.#function(spec.shared);
		if (shared !== 0) ops.ops_func = (cmd) => this.#shares(registered, shared, addr, cmd);
		registered.direct = addr;
		let ret = yield* direct.register_ftrace_direct(ops, addr);
		if (ret === -EAGAIN) {
			registered.direct = shared;
			ret = yield* direct.register_ftrace_direct(ops, shared);
		}
		return ret;
	}

	/** bpf_tramp_ftrace_ops_func() */
	*#shares(registered: Registered, shared: Kaddr, alone: Kaddr, cmd: ftrace_ops_cmd): Kernel<number> {
		const { direct } = this.#machine.ftrace;
		if (cmd === FTRACE_OPS_CMD.ENABLE_SHARE_IPMODIFY_SELF) return registered.direct === shared ? 0 : -EAGAIN;
		const addr = cmd === FTRACE_OPS_CMD.ENABLE_SHARE_IPMODIFY_PEER ? shared : alone;
		if (registered.direct === addr) return 0;
		registered.direct = addr;
		return yield* direct.modify_ftrace_direct_nolock(registered.ops, addr);
	}

	#function(name: string): Kaddr {
		const { vmlinux, modules } = this.#machine;
		const images = [vmlinux, ...[...modules.values()].map(({ image }) => image)];
		for (const image of images) {
			const symbol = image.symbol(name);
			if (symbol !== undefined) return symbol.address;
		}
		throw new KlpemuError("SCENARIO_UNKNOWN_FUNC", `function '${name}' is in a module that is not loaded yet`);
	}

	#site(spec: OpsSpec, func: string): Kaddr {
		const site = this.#machine.ftrace.ftrace_location(this.#function(func));
		if (site === 0) {
			const hint = "only functions that are compiled with -mfentry have one";
			throw new KlpemuError("SCENARIO_NO_SITE", `'${spec.name}': function '${func}' has no fentry site`, { hint });
		}
		return site;
	}
}
