import { declareState, KlpemuError } from "../../base/index.js";
import { type Kaddr, toU64 } from "../../memory/index.js";
import {
	FRAME_SIZE,
	FTRACE_OPS_FL,
	type Ftrace,
	ftrace_ops,
	PT_REGS,
	type Symbols,
	TRACE_FTRACE_START,
	trace_clear_recursion,
	trace_test_and_set_recursion,
} from "../ftrace/index.js";
import type { GuestCalls, GuestMemory, Heap, HostFunctions } from "../guest/index.js";
import { type Dmesg, E2BIG, EINVAL, ENOENT, ENOMEM, type Kernel, mutex } from "../lib/index.js";
import { type rethook_node, type Sched, synchronize_rcu, type task_struct } from "../sched/index.js";

/** struct kprobe and struct kretprobe (include/linux/kprobes.h), with CONFIG_KRETPROBE_ON_RETHOOK. */
const KPROBE = {
	nmissed: 32,
	addr: 40,
	symbol_name: 48,
	offset: 56,
	pre_handler: 64,
	post_handler: 72,
	flags: 84,
} as const;
const KRETPROBE = { handler: 128, entry_handler: 136, maxactive: 144, nmissed: 148, data_size: 152, rh: 160 } as const;
/** struct rethook_node, with which a struct kretprobe_instance begins. */
const NODE = { rethook: 24, ret_addr: 32, frame: 40, size: 48 } as const;
const RETHOOK_SIZE = 8;
const KRETPROBE_MAX_DATA_SIZE = 4096;
const KERNEL_CS = 0x10n;
/** The int3 that a kprobe without ftrace would be: a handler finds the ip behind it. */
const INT3_INSN_SIZE = 1;

/** The call instruction that a kprobe by ftrace replaces: a post_handler finds the ip behind it. */
const MCOUNT_INSN_SIZE = 5;

/** A registered kprobe, or a kretprobe, which begins with one. */
interface Probe {
	readonly rp: Kaddr;
	readonly ip: Kaddr;
	/** The ops that the place has been armed with. */
	readonly ops: ftrace_ops;
	/** Undefined for a plain kprobe. */
	readonly rethook: Rethook | undefined;
}

interface Rethook {
	readonly rh: Kaddr;
	/** All instances, in use or not. */
	readonly nodes: readonly Kaddr[];
}

interface Parts {
	readonly memory: GuestMemory;
	readonly heap: Heap;
	readonly dmesg: Dmesg;
	readonly sched: Sched;
	readonly ftrace: Ftrace;
	readonly symbols: Symbols;
	readonly calls: GuestCalls;
	/** Address of the gate of that name. */
	readonly kprobe_ftrace_handler: Kaddr;
}

/**
 * register_kprobe() and register_kretprobe() (kernel/kprobes.c, arch/x86/kernel/kprobes/ftrace.c, kernel/trace/rethook.c) for functions
 * with a fentry site. Handlers are guest code. Each runs in one go, because preemption is disabled.
 */
export class Kprobes {
	static readonly state = declareState("Kprobes", {
		fields: ["probes", "kprobe_ftrace_ops", "kprobe_ipmodify_ops", "kprobe_mutex"],
	});

	readonly #parts: Parts;
	readonly #memory: GuestMemory;
	/** Registered ones, newest first. */
	private readonly probes: Probe[] = [];
	private readonly kprobe_ftrace_ops: ftrace_ops;
	/** Of places with a post_handler: the kernel lets nobody else change the ip there, no livepatch either. */
	private readonly kprobe_ipmodify_ops: ftrace_ops;
	private readonly kprobe_mutex = new mutex("kprobe_mutex");

	constructor(parts: Parts) {
		this.#parts = parts;
		this.#memory = parts.memory;
		const { SAVE_REGS, IPMODIFY } = FTRACE_OPS_FL;
		const ops = (name: string, flags: number) =>
			new ftrace_ops(name, this, parts.kprobe_ftrace_handler, undefined, flags);
		this.kprobe_ftrace_ops = ops("kprobe_ftrace_ops", SAVE_REGS);
		this.kprobe_ipmodify_ops = ops("kprobe_ipmodify_ops", SAVE_REGS | IPMODIFY);
	}

	/** A kprobe or a kretprobe is registered. */
	get armed(): boolean {
		return this.probes.length > 0;
	}

	// ---- registration ----

	/** kprobe_on_func_entry() and the rest of _kprobe_addr(): the call site, or a negative errno. */
	#site(func: string, rp: Kaddr): Kaddr {
		const memory = this.#memory;
		const at = (rp + KPROBE.addr) | 0;
		const symbol_name = memory.u64((rp + KPROBE.symbol_name) | 0);
		if ((memory.u64(at) === 0n) === (symbol_name === 0n)) return -EINVAL;
		const named = symbol_name !== 0n;
		const base = named ? (this.#parts.symbols.resolve(memory.string(symbol_name)) ?? 0) : memory.kaddr(at);
		if (base === 0) return -ENOENT;
		const place = (base + memory.u32((rp + KPROBE.offset) | 0)) | 0;
		const site = this.#parts.ftrace.ftrace_location(place);
		if (site !== 0) return site;
		const name = this.#parts.symbols.sprint_symbol(place, false);
		throw new KlpemuError("GUEST_UNSUPPORTED", `${func}(): ${name} is no entry of a function with a fentry site`, {
			hint: "kprobes that replace instructions by int3 are not emulated",
		});
	}

	*#register_kprobe(kp: Kaddr): Kernel<number> {
		const memory = this.#memory;
		const ip = this.#site("register_kprobe", kp);
		if (ip === -EINVAL || ip === -ENOENT) return ip;
		if (this.probes.some(({ rp }) => rp === kp)) return -EINVAL;
		memory.setU64((kp + KPROBE.addr) | 0, toU64(ip));
		memory.setU64((kp + KPROBE.nmissed) | 0, 0n);
		if (memory.u32((kp + KPROBE.flags) | 0) !== 0) {
			throw new KlpemuError("GUEST_UNSUPPORTED", "register_kprobe(): flags are not emulated", {
				hint: "register the kprobe when it is to be armed",
			});
		}
		const post = memory.u64((kp + KPROBE.post_handler) | 0) !== 0n;
		return yield* this.#add(kp, ip, this.#opsFor(ip, post), undefined);
	}

	/** Probes of one place share the ops that the first one has armed it with. */
	#opsFor(ip: Kaddr, post: boolean): ftrace_ops {
		const ops = post ? this.kprobe_ipmodify_ops : this.kprobe_ftrace_ops;
		const known = this.probes.find((probe) => probe.ip === ip)?.ops ?? ops;
		if (known === ops || !post) return known;
		throw new KlpemuError(
			"GUEST_UNSUPPORTED",
			"register_kprobe(): a post_handler at a place with a probe that has none",
			{
				hint: "the kernel would disarm another ftrace_ops than it has armed: register the one with the post_handler first",
			},
		);
	}

	*#register_kretprobe(rp: Kaddr): Kernel<number> {
		const memory = this.#memory;
		const { sched } = this.#parts;
		const ip = this.#site("register_kretprobe", rp);
		if (ip === -EINVAL || ip === -ENOENT) return ip;
		if (this.probes.some((probe) => probe.rp === rp)) return -EINVAL;
		const data_size = memory.u64((rp + KRETPROBE.data_size) | 0);
		if (data_size > KRETPROBE_MAX_DATA_SIZE) return -E2BIG;
		if ((memory.u32((rp + KRETPROBE.maxactive) | 0) | 0) <= 0) {
			memory.setU32((rp + KRETPROBE.maxactive) | 0, Math.max(10, 2 * sched.cpus.length));
		}
		const rethook = this.#rethook_alloc(rp, Number(data_size));
		if (rethook === undefined) return -ENOMEM;
		memory.setU32((rp + KRETPROBE.nmissed) | 0, 0);
		memory.setU64((rp + KRETPROBE.rh) | 0, toU64(rethook.rh));
		return yield* this.#add(rp, ip, this.#opsFor(ip, false), rethook);
	}

	*#add(rp: Kaddr, ip: Kaddr, ops: ftrace_ops, rethook: Rethook | undefined): Kernel<number> {
		const probe = { rp, ip, ops, rethook };
		yield* this.kprobe_mutex.lock();
		this.probes.unshift(probe);
		const ret = yield* this.#arm_kprobe_ftrace(probe);
		if (ret !== 0) this.#forget(probe);
		this.kprobe_mutex.unlock();
		return ret;
	}

	/** The rethook of a kretprobe and its instances; undefined: there is no memory. */
	#rethook_alloc(rp: Kaddr, data_size: number): Rethook | undefined {
		const { heap } = this.#parts;
		const memory = this.#memory;
		const count = memory.u32((rp + KRETPROBE.maxactive) | 0);
		const rh = heap.kmalloc(RETHOOK_SIZE, true);
		const nodes: Kaddr[] = [];
		for (let last = rh; last !== 0 && nodes.length < count; ) {
			last = heap.kmalloc(NODE.size + data_size, true);
			if (last !== 0) nodes.push(last);
		}
		if (rh === 0 || nodes.length < count) {
			for (const address of [rh, ...nodes]) heap.kfree(address);
			return undefined;
		}
		memory.setU64(rh, toU64(rp));
		for (const node of nodes) memory.setU64((node + NODE.rethook) | 0, toU64(rh));
		return { rh, nodes };
	}

	*#arm_kprobe_ftrace({ ip, ops }: Probe): Kernel<number> {
		const { ftrace } = this.#parts;
		const first = (ops.flags & FTRACE_OPS_FL.ENABLED) === 0;
		const before = first ? new Set<Kaddr>() : ops.filter_hash;
		const ret = yield* ftrace.ftrace_set_filters(ops, new Set(before).add(ip), ops.notrace_hash);
		if (ret !== 0 || !first) return ret;
		const registered = yield* ftrace.register_ftrace_function(ops);
		if (registered !== 0) yield* ftrace.ftrace_set_filters(ops, before, ops.notrace_hash);
		return registered;
	}

	*#unregister(func: string, rp: Kaddr): Kernel<undefined> {
		const { ftrace, sched } = this.#parts;
		yield* this.kprobe_mutex.lock();
		const probe = this.probes.find((known) => known.rp === rp);
		if (probe !== undefined) {
			const { ops } = probe;
			this.#forget(probe);
			const left = new Set(this.probes.filter((other) => other.ops === ops).map(({ ip }) => ip));
			// An ops without a filter would trace all functions.
			if (left.size === 0) yield* ftrace.unregister_ftrace_function(ops);
			else yield* ftrace.ftrace_set_filters(ops, left, ops.notrace_hash);
		} else this.#memory.setU64((rp + KPROBE.addr) | 0, 0n);
		this.kprobe_mutex.unlock();
		yield* synchronize_rcu(sched, `${func}: synchronize_rcu`);
		return undefined;
	}

	/** rethook_free(): an instance in use is freed when its call returns. */
	#forget(probe: Probe): void {
		this.probes.splice(this.probes.indexOf(probe), 1);
		if (probe.rethook === undefined) return;
		const used = this.#used();
		for (const node of probe.rethook.nodes) if (!used.has(node)) this.#parts.heap.kfree(node);
		this.#parts.heap.kfree(probe.rethook.rh);
	}

	/** Instances in use. Those of a dead task are free again (rethook_flush_task). */
	#used(): Set<Kaddr> {
		const { sched } = this.#parts;
		return new Set([...sched.all(), ...sched.exiting].flatMap(({ rethooks }) => rethooks.map(({ node }) => node)));
	}

	// ---- entry ----

	/** The call-back of both ops; with several probes at one place, aggr_pre_handler() and aggr_post_handler(). */
	*#kprobe_ftrace_handler(ip: Kaddr, regs: Kaddr): Kernel<undefined> {
		const task = this.#parts.sched.current;
		const bit = trace_test_and_set_recursion(task, TRACE_FTRACE_START);
		if (bit < 0) return undefined;
		const probes = this.probes.filter((known) => known.ip === ip);
		if (task.kprobe_running) for (const { rp } of probes) this.#missed((rp + KPROBE.nmissed) | 0);
		else yield* this.#hit(task, probes, ip, regs);
		trace_clear_recursion(task, bit);
		return undefined;
	}

	*#hit(task: task_struct, probes: readonly Probe[], ip: Kaddr, regs: Kaddr): Kernel<void> {
		const memory = this.#memory;
		const at = (regs + PT_REGS.RIP) | 0;
		const orig_ip = memory.u64(at);
		memory.setU64(at, toU64((ip + INT3_INSN_SIZE) | 0));
		for (const probe of probes) {
			if (probe.rethook !== undefined) yield* this.#pre_handler_kretprobe(task, probe.rp, probe.rethook, regs);
			// It has set the ip itself.
			else if (yield* this.#handled(task, probe.rp, KPROBE.pre_handler, regs)) return;
		}
		memory.setU64(at, toU64((ip + MCOUNT_INSN_SIZE) | 0));
		for (const { rp, rethook } of probes) {
			if (rethook === undefined) yield* this.#handled(task, rp, KPROBE.post_handler, regs);
		}
		memory.setU64(at, orig_ip);
	}

	/** True if a kprobe has the handler, and it does not return 0. */
	*#handled(task: task_struct, kp: Kaddr, field: number, regs: Kaddr): Kernel<boolean> {
		const handler = this.#memory.kaddr((kp + field) | 0);
		if (handler === 0) return false;
		return BigInt.asIntN(32, yield* this.#handler(task, handler, kp, regs)) !== 0n;
	}

	#missed(counter: Kaddr): void {
		this.#memory.setU32(counter, this.#memory.u32(counter) + 1);
	}

	/** rethook_hook(): the function returns to arch_rethook_trampoline, unless there is no instance or the entry handler does not want it. */
	*#pre_handler_kretprobe(task: task_struct, rp: Kaddr, { nodes }: Rethook, regs: Kaddr): Kernel<void> {
		const memory = this.#memory;
		const used = this.#used();
		const node = nodes.find((candidate) => !used.has(candidate));
		if (node === undefined) {
			this.#missed((rp + KRETPROBE.nmissed) | 0);
			return;
		}
		const entry_handler = memory.kaddr((rp + KRETPROBE.entry_handler) | 0);
		if (entry_handler !== 0) {
			const result = yield* this.#handler(task, entry_handler, node, regs);
			if (BigInt.asIntN(32, result) !== 0n) return;
		}
		const frame = memory.kaddr((regs + PT_REGS.RSP) | 0);
		const ret_addr = memory.kaddr(frame);
		memory.setU64((node + NODE.ret_addr) | 0, toU64(ret_addr));
		memory.setU64((node + NODE.frame) | 0, toU64(frame));
		task.rethooks = [{ node, rp, ret_addr, frame }, ...task.rethooks];
		memory.setU64(frame, toU64(this.#parts.ftrace.templates.arch_rethook_trampoline));
	}

	/** Calls a handler with current_kprobe set: what it calls is not probed. */
	*#handler(task: task_struct, handler: Kaddr, probe: Kaddr, regs: Kaddr): Kernel<bigint> {
		task.kprobe_running = true;
		try {
			return yield* this.#parts.calls.call(handler, toU64(probe), toU64(regs), 0n);
		} finally {
			task.kprobe_running = false;
		}
	}

	// ---- return ----

	/** arch_rethook_trampoline_callback() and rethook_trampoline_handler(). */
	*#arch_rethook_trampoline_callback(regs: Kaddr): Kernel<undefined> {
		const { sched, dmesg, ftrace } = this.#parts;
		const memory = this.#memory;
		const task = sched.current;
		const at = (offset: number) => (regs + offset) | 0;
		const frame = at(FRAME_SIZE);
		const { arch_rethook_trampoline } = ftrace.templates;
		memory.setU64(at(PT_REGS.CS), KERNEL_CS);
		memory.setU64(at(PT_REGS.ORIG_RAX), 2n ** 64n - 1n);
		memory.setU64(at(PT_REGS.RSP), memory.u64(at(PT_REGS.RSP)) + 16n);
		// Several hooks of one call: only the oldest one has the address of the caller.
		const last = task.rethooks.findIndex((node) => node.ret_addr !== arch_rethook_trampoline);
		const correct_ret_addr = task.rethooks[last]?.ret_addr ?? 0;
		if (last < 0) dmesg.WARN_ON(true, "rethook: Return address not found! Maybe there is a bug in the kernel");
		memory.setU64(at(PT_REGS.RIP), toU64(correct_ret_addr));
		task.preempt_count++;
		const mine = task.rethooks.slice(0, last + 1);
		for (const node of mine) {
			if (dmesg.WARN_ON_ONCE(node.frame !== frame, "rethook_trampoline_handler: rhn->frame != frame")) break;
			yield* this.#kretprobe_rethook_handler(task, node, regs);
		}
		memory.setU64(frame, toU64(correct_ret_addr));
		task.rethooks = task.rethooks.slice(last + 1);
		for (const { node } of mine) {
			if (!this.probes.some(({ rethook }) => rethook?.nodes.includes(node))) this.#parts.heap.kfree(node);
		}
		task.preempt_count--;
		memory.setU64(at(PT_REGS.SS), memory.u64(at(PT_REGS.EFLAGS)));
		return undefined;
	}

	/** A probe that has been unregistered meanwhile has no handler. */
	*#kretprobe_rethook_handler(task: task_struct, { node, rp }: rethook_node, regs: Kaddr): Kernel<void> {
		if (!this.probes.some((probe) => probe.rp === rp && probe.rethook?.nodes.includes(node))) return;
		const handler = this.#memory.kaddr((rp + KRETPROBE.handler) | 0);
		if (handler !== 0) yield* this.#handler(task, handler, node, regs);
	}

	functions(): HostFunctions {
		return {
			plain: {},
			sleeping: {
				register_kprobe: (args) => this.#register_kprobe(args.pointer(0)),
				unregister_kprobe: (args) => this.#unregister("unregister_kprobe", args.pointer(0)),
				register_kretprobe: (args) => this.#register_kretprobe(args.pointer(0)),
				unregister_kretprobe: (args) => this.#unregister("unregister_kretprobe", args.pointer(0)),
				kprobe_ftrace_handler: (args) => this.#kprobe_ftrace_handler(args.pointer(0), args.pointer(3)),
				arch_rethook_trampoline_callback: (args) => this.#arch_rethook_trampoline_callback(args.pointer(0)),
			},
		};
	}
}
