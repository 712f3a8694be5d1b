import { declareState, KlpemuError } from "../base/index.js";
import { FTRACE_OPS_CMD, FTRACE_OPS_FL, ftrace_ops, type ftrace_ops_cmd, PT_REGS } from "../linux/ftrace/index.js";
import { GuestMemory } from "../linux/guest/index.js";
import { EAGAIN, EBUSY, EINVAL, type Kernel } from "../linux/lib/index.js";
import type { Machine } from "../machine/index.js";
import type { Kaddr } from "../memory/index.js";
import type { OpsSpec } from "./types.js";

/**
 * The object in which an ops of the scenario is embedded. All its state is here or in the ops, so that a restore of the
 * machine restores it.
 */
class Attachment {
	static readonly state = declareState("Attachment", { fields: "all" });

	readonly spec: OpsSpec;
	/** DIRECT: the function that the sites call. */
	direct: Kaddr = 0;

	constructor(spec: OpsSpec) {
		this.spec = spec;
	}
}

/** The ops that a scenario attaches beside livepatches. */
export class ScenarioOps {
	readonly #machine: Machine;
	readonly #specs: ReadonlyMap<string, OpsSpec>;
	/**
	 * Number of calls by ops since it was last registered; only of ops without a function of the guest. A log: no
	 * kernel code reads it.
	 */
	readonly calls = new Map<string, number>();

	constructor(machine: Machine, specs: ReadonlyMap<string, OpsSpec>) {
		this.#machine = machine;
		this.#specs = specs;
	}

	/** register_ftrace_function() or register_ftrace_direct(): 0 or a negative errno; -EBUSY also if it is registered already. */
	*register(name: string): Kernel<number> {
		const spec = this.#specs.get(name)!;
		if (this.#registered(name) !== undefined) return -EBUSY;
		const { ftrace } = this.#machine;
		const attachment = new Attachment(spec);
		const ops = this.#make(attachment);
		ops.filter_hash = new Set(spec.funcs.map((func) => this.#site(spec, func)));
		this.calls.set(name, 0);
		if (spec.direct === undefined) return yield* ftrace.register_ftrace_function(ops);
		return yield* this.#registerDirect(ops, this.#function(spec.direct));
	}

	/** The reverse; -EINVAL if it is not registered. */
	*unregister(name: string): Kernel<number> {
		const ops = this.#registered(name);
		if (ops === undefined) return -EINVAL;
		const { ftrace } = this.#machine;
		const { direct } = ops.owner;
		if (direct === 0) return yield* ftrace.unregister_ftrace_function(ops);
		return yield* ftrace.direct.unregister_ftrace_direct(ops, direct);
	}

	/** modify_ftrace_direct(): 0 or a negative errno; -EINVAL if it is not registered. */
	*modify(name: string, func: string): Kernel<number> {
		const addr = this.#function(func);
		const ops = this.#registered(name);
		if (ops === undefined) return -EINVAL;
		const ret = yield* this.#machine.ftrace.direct.modify_ftrace_direct(ops, addr);
		if (ret === 0) ops.owner.direct = addr;
		return ret;
	}

	#registered(name: string): ftrace_ops<Attachment> | undefined {
		const isIt = (ops: ftrace_ops): ops is ftrace_ops<Attachment> =>
			ops.owner instanceof Attachment && ops.owner.spec.name === name;
		return [...this.#machine.ftrace.ftrace_ops_list].find(isIt);
	}

	#make(attachment: Attachment): ftrace_ops<Attachment> {
		const { spec } = attachment;
		if (spec.direct !== undefined) return new ftrace_ops(spec.name, attachment, 0, undefined, 0);
		const guestMemory = new GuestMemory(this.#machine.memory);
		const flags = spec.flags.reduce((bits, flag) => bits | FTRACE_OPS_FL[flag], FTRACE_OPS_FL.DYNAMIC as number);
		if (spec.func !== undefined)
			return new ftrace_ops(spec.name, attachment, this.#function(spec.func), undefined, flags);
		const target = spec.ip === undefined ? 0 : this.#function(spec.ip);
		const call = (_ip: Kaddr, _parent_ip: Kaddr, _ops: Kaddr, fregs: Kaddr) => {
			this.calls.set(spec.name, this.calls.get(spec.name)! + 1);
			if (target !== 0) guestMemory.setKaddr((fregs + PT_REGS.RIP) | 0, target);
		};
		const ipmodify = target === 0 ? 0 : FTRACE_OPS_FL.IPMODIFY;
		return new ftrace_ops(spec.name, attachment, this.#machine.tracer.global_ops.func, call, flags | ipmodify);
	}

	/**
	 * Registers a direct ops as a BPF trampoline does (kernel/bpf/trampoline.c, bpf_trampoline_update()): if it must
	 * share a site with an IPMODIFY ops, it returns -EAGAIN, makes another trampoline, and tries again.
	 */
	*#registerDirect(ops: ftrace_ops<Attachment>, addr: Kaddr): Kernel<number> {
		const { spec } = ops.owner;
		const { direct } = this.#machine.ftrace;
		const shared = spec.shared === undefined ? 0 : this.#function(spec.shared);
		if (shared !== 0) ops.ops_func = (cmd) => this.#shares(ops, shared, addr, cmd);
		ops.owner.direct = addr;
		let ret = yield* direct.register_ftrace_direct(ops, addr);
		if (ret === -EAGAIN) {
			ops.owner.direct = shared;
			ret = yield* direct.register_ftrace_direct(ops, shared);
		}
		return ret;
	}

	/** bpf_tramp_ftrace_ops_func() */
	*#shares(ops: ftrace_ops<Attachment>, shared: Kaddr, alone: Kaddr, cmd: ftrace_ops_cmd): Kernel<number> {
		const { direct } = this.#machine.ftrace;
		if (cmd === FTRACE_OPS_CMD.ENABLE_SHARE_IPMODIFY_SELF) return ops.owner.direct === shared ? 0 : -EAGAIN;
		const addr = cmd === FTRACE_OPS_CMD.ENABLE_SHARE_IPMODIFY_PEER ? shared : alone;
		if (ops.owner.direct === addr) return 0;
		ops.owner.direct = addr;
		return yield* direct.modify_ftrace_direct_nolock(ops, addr);
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
