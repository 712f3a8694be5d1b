import { declareState } from "../../base/index.js";
import type { Kaddr } from "../../memory/index.js";
import { FTRACE_OPS_FL, type Ftrace, ftrace_ops, type Symbols, type Tracefs } from "../ftrace/index.js";
import type { GuestArguments, GuestMemory, HostFunctions } from "../guest/index.js";
import { EINVAL, type Kernel } from "../lib/index.js";

/** struct ftrace_ops of asm/include/linux/ftrace.h. */
const OPS = { func: 0, flags: 16 } as const;
const FTRACE_OPS_FL_SAVE_REGS_IF_SUPPORTED = 1 << 3;
/** Flags that a module may set itself. */
const FROM_MODULES =
	FTRACE_OPS_FL.SAVE_REGS | FTRACE_OPS_FL.RECURSION | FTRACE_OPS_FL.IPMODIFY | FTRACE_OPS_FL.PERMANENT;

/** register_ftrace_function() and its relatives, for a struct ftrace_ops in guest memory, whose call-back is guest code. */
export class GuestFtrace {
	static readonly state = declareState("GuestFtrace", { fields: ["known"] });

	readonly #memory: GuestMemory;
	readonly #ftrace: Ftrace;
	readonly #symbols: Symbols;
	readonly #tracefs: Tracefs;
	/** By the address of the guest's struct. */
	private readonly known = new Map<Kaddr, ftrace_ops>();

	constructor(memory: GuestMemory, ftrace: Ftrace, symbols: Symbols, tracefs: Tracefs) {
		this.#memory = memory;
		this.#ftrace = ftrace;
		this.#symbols = symbols;
		this.#tracefs = tracefs;
	}

	/** The ops at an address, with what the guest's struct says as long as it is not registered. */
	#opsAt(address: Kaddr): ftrace_ops {
		const memory = this.#memory;
		const func = memory.kaddr((address + OPS.func) | 0);
		const flags = Number(memory.u64((address + OPS.flags) | 0) & 0xffffffffn);
		const known = this.known.get(address);
		const ops =
			known ??
			new ftrace_ops(this.#symbols.sprint_symbol(address, true), undefined, func, undefined, FTRACE_OPS_FL.DYNAMIC);
		if (known === undefined) {
			ops.address = address;
			ops.inGuest = true;
			this.known.set(address, ops);
		}
		if (ops.flags & FTRACE_OPS_FL.ENABLED) return ops;
		ops.func = func;
		const regs = flags & FTRACE_OPS_FL_SAVE_REGS_IF_SUPPORTED ? FTRACE_OPS_FL.SAVE_REGS : 0;
		ops.flags = (ops.flags & ~FROM_MODULES) | (flags & FROM_MODULES) | regs;
		return ops;
	}

	*#register(address: Kaddr): Kernel<number> {
		return yield* this.#ftrace.register_ftrace_function(this.#opsAt(address));
	}

	*#unregister(address: Kaddr): Kernel<number> {
		return yield* this.#ftrace.unregister_ftrace_function(this.#opsAt(address));
	}

	/** `sites` are added to the filter, taken out of it, or take its place. */
	*#filter(ops: ftrace_ops, sites: readonly Kaddr[], remove: boolean, reset: boolean): Kernel<number> {
		const filter = new Set(reset ? [] : ops.filter_hash);
		for (const site of sites) {
			if (remove) filter.delete(site);
			else filter.add(site);
		}
		return yield* this.#ftrace.ftrace_set_filters(ops, filter, ops.notrace_hash);
	}

	/** ftrace_set_filter_ip(ops, ip, remove, reset) */
	*#filterIp(args: GuestArguments): Kernel<number> {
		const ops = this.#opsAt(args.pointer(0));
		const [ip, remove, reset] = [args.pointer(1), args.u32(2) !== 0, args.u32(3) !== 0];
		const site = ip === 0 ? 0 : this.#ftrace.ftrace_location(ip);
		if (ip !== 0 && site === 0) return -EINVAL;
		return yield* this.#filter(ops, site === 0 ? [] : [site], remove, reset);
	}

	/** ftrace_set_filter(ops, buf, len, reset): `buf` is a function, or a glob. */
	*#filterText(args: GuestArguments): Kernel<number> {
		const ops = this.#opsAt(args.pointer(0));
		const [buf, length, reset] = [args.u64(1), args.u32(2), args.u32(3) !== 0];
		if (buf === 0n) return yield* this.#filter(ops, [], false, reset);
		const pattern = new TextDecoder().decode(this.#memory.bytes(buf, length)).replace(/\0.*$/s, "");
		const sites = this.#tracefs.sitesOf(pattern);
		if (sites.length === 0) return -EINVAL;
		return yield* this.#filter(ops, sites, false, reset);
	}

	functions(): HostFunctions {
		return {
			plain: {},
			sleeping: {
				register_ftrace_function: (args) => this.#register(args.pointer(0)),
				unregister_ftrace_function: (args) => this.#unregister(args.pointer(0)),
				ftrace_set_filter_ip: (args) => this.#filterIp(args),
				ftrace_set_filter: (args) => this.#filterText(args),
			},
		};
	}
}
