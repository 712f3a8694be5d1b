import { declareState } from "../../../base/index.js";
import { type Kaddr, toU64 } from "../../../memory/index.js";
import { FTRACE_OPS_FL, type Ftrace, ftrace_ops, type Symbols } from "../../ftrace/index.js";
import type { GuestArguments, GuestMemory, HostFunctions } from "../../guest/index.js";
import type { KernelLayout } from "../../lib/index.js";
import { EINVAL, type Kernel } from "../../lib/index.js";

/** Flags that the owner of a struct sets. */
const OWN = FTRACE_OPS_FL.DYNAMIC | FTRACE_OPS_FL.SAVE_REGS | FTRACE_OPS_FL.IPMODIFY | FTRACE_OPS_FL.PERMANENT;

/** kernel/trace/ftrace.c for the struct ftrace_ops that the core has in guest memory, in its klp_ops. */
export class CoreFtrace {
	static readonly state = declareState("CoreFtrace", { fields: ["known"] });

	readonly #memory: GuestMemory;
	readonly #layout: KernelLayout;
	readonly #ftrace: Ftrace;
	readonly #symbols: Symbols;
	/** By the address of the guest's struct, from the first filter to the last. */
	private readonly known = new Map<Kaddr, ftrace_ops>();

	constructor(memory: GuestMemory, layout: KernelLayout, ftrace: Ftrace, symbols: Symbols) {
		this.#memory = memory;
		this.#layout = layout;
		this.#ftrace = ftrace;
		this.#symbols = symbols;
	}

	/** Addresses of all structs that have a filter. */
	all(): Iterable<Kaddr> {
		return this.known.keys();
	}

	/** The struct whose filter has the site of a function; 0: none. */
	find(func: Kaddr): Kaddr {
		if (this.known.size === 0) return 0;
		const site = this.#ftrace.ftrace_location(func);
		for (const [address, ops] of this.known) if (ops.filter_hash.has(site)) return address;
		return 0;
	}

	#flagsAt(ops: Kaddr): Kaddr {
		return (ops + this.#layout.offset("ftrace_ops.flags")) | 0;
	}

	/** The ops of a struct; made for a struct that has none. `site`: for its name. */
	#opsAt(address: Kaddr, site: Kaddr): ftrace_ops {
		const known = this.known.get(address);
		if (known !== undefined) return known;
		const func = this.#memory.kaddr((address + this.#layout.offset("ftrace_ops.func")) | 0);
		const flags = this.#memory.u32(this.#flagsAt(address)) & OWN;
		const ops = new ftrace_ops(this.#symbols.name(site), undefined, func, undefined, flags);
		ops.address = address;
		ops.inGuest = true;
		this.known.set(address, ops);
		return ops;
	}

	#showFlags(ops: ftrace_ops): void {
		this.#memory.setU32(this.#flagsAt(ops.address), ops.flags);
		const trampoline = (ops.address + this.#layout.offset("ftrace_ops.trampoline")) | 0;
		this.#memory.setU64(trampoline, ops.trampoline === 0 ? 0n : toU64(ops.trampoline));
	}

	/** ftrace_set_filter_ip(ops, ip, remove, reset) */
	#filter(args: GuestArguments): number {
		const [address, ip, remove] = [args.pointer(0), args.pointer(1), args.u32(2) !== 0];
		const site = this.#ftrace.ftrace_location(ip);
		if (site === 0) return -EINVAL;
		const ops = this.#opsAt(address, site);
		const ret = this.#ftrace.ftrace_set_filter_ip(ops, site, remove);
		// The caller frees the struct next, also if the filter could not be emptied: klp_unpatch_func() only warns.
		const isUnused = remove || ops.filter_hash.size === 0;
		if (isUnused && !(ops.flags & FTRACE_OPS_FL.ENABLED)) this.known.delete(address);
		return ret;
	}

	*#register(address: Kaddr): Kernel<number> {
		const ops = this.#opsAt(address, address);
		const ret = yield* this.#ftrace.register_ftrace_function(ops);
		this.#showFlags(ops);
		return ret;
	}

	*#unregister(address: Kaddr): Kernel<number> {
		const ops = this.#opsAt(address, address);
		const ret = yield* this.#ftrace.unregister_ftrace_function(ops);
		this.#showFlags(ops);
		return ret;
	}

	functions(): HostFunctions {
		return {
			plain: {
				ftrace_location: (args) => {
					const site = this.#ftrace.ftrace_location(args.pointer(0));
					return site === 0 ? 0 : toU64(site);
				},
				ftrace_set_filter_ip: (args) => this.#filter(args),
			},
			sleeping: {
				register_ftrace_function: (args) => this.#register(args.pointer(0)),
				unregister_ftrace_function: (args) => this.#unregister(args.pointer(0)),
			},
		};
	}
}
