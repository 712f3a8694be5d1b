import { declareState } from "../../base/index.js";
import type { Kaddr } from "../../memory/index.js";
import { type Kernel, list_head } from "../lib/index.js";

/** Flags of a ftrace_ops (include/linux/ftrace.h). */
export const FTRACE_OPS_FL = {
	ENABLED: 1 << 0,
	/** The struct may be freed after it is unregistered; its trampoline is freed with it. */
	DYNAMIC: 1 << 1,
	SAVE_REGS: 1 << 2,
	/** The call-back needs protection against calling itself: it goes through ftrace_ops_assist_func(). */
	RECURSION: 1 << 4,
	STUB: 1 << 5,
	ADDING: 1 << 8,
	REMOVING: 1 << 9,
	MODIFYING: 1 << 10,
	ALLOC_TRAMP: 1 << 11,
	IPMODIFY: 1 << 12,
	RCU: 1 << 14,
	PERMANENT: 1 << 16,
	DIRECT: 1 << 17,
} as const;

/** Commands of ftrace to a DIRECT ops that shares a site with an IPMODIFY ops (enum ftrace_ops_cmd). */
export const FTRACE_OPS_CMD = {
	/** The DIRECT ops itself is being registered. */
	ENABLE_SHARE_IPMODIFY_SELF: 0,
	/** The IPMODIFY ops is being registered. */
	ENABLE_SHARE_IPMODIFY_PEER: 1,
	DISABLE_SHARE_IPMODIFY_PEER: 2,
} as const;
export type ftrace_ops_cmd = (typeof FTRACE_OPS_CMD)[keyof typeof FTRACE_OPS_CMD];

/** The host side of a ftrace_func_t. `ops` and `fregs` are guest addresses, as in the kernel. */
export type ftrace_func_t = (ip: Kaddr, parent_ip: Kaddr, ops: Kaddr, fregs: Kaddr) => void;

/** A ftrace_ops: a call-back for fentry sites. `owner` is the object in which the ops is embedded (container_of). */
export class ftrace_ops<T = unknown> {
	static readonly state = declareState("ftrace_ops", { fields: "all" });

	readonly name: string;
	readonly owner: T;
	flags: number;
	/** The call-back in the guest: a function, or a gate. 0: none yet (DIRECT). */
	func: Kaddr;
	/** Function that the gate `ftrace_host_func` runs, for an ops whose call-back is TypeScript. */
	readonly call: ftrace_func_t | undefined;
	/** The call sites to which the ops is attached (func_hash->filter_hash). Empty: all sites. */
	filter_hash: ReadonlySet<Kaddr> = new Set();
	/** Call sites to which it is not attached (func_hash->notrace_hash). */
	notrace_hash: ReadonlySet<Kaddr> = new Set();
	/**
	 * Guest address of the struct, which the trampoline passes in rdx; 0 before it is allocated. Its first word is
	 * `func`.
	 */
	address: Kaddr = 0;
	/** The struct is the guest's own: its address stays when it is unregistered. */
	inGuest = false;
	trampoline: Kaddr = 0;
	trampoline_size = 0;
	/** DIRECT: the function that the sites call. */
	direct_call: Kaddr = 0;
	/**
	 * DIRECT: decides if the ops may share a site with an IPMODIFY ops: 0 (yes), -EAGAIN (try again), or another errno.
	 * Undefined: it may not.
	 */
	ops_func: ((cmd: ftrace_ops_cmd) => Kernel<number>) | undefined = undefined;
	readonly list: list_head<ftrace_ops> = new list_head<ftrace_ops>(this);

	constructor(name: string, owner: T, func: Kaddr, call: ftrace_func_t | undefined, flags: number) {
		this.name = name;
		this.owner = owner;
		this.func = func;
		this.call = call;
		this.flags = flags;
	}

	/** True if the ops is attached to the site (ftrace_ops_test, ops_references_ip). */
	traces(ip: Kaddr): boolean {
		return (this.filter_hash.size === 0 || this.filter_hash.has(ip)) && !this.notrace_hash.has(ip);
	}
}

/** Flags of a dyn_ftrace, see include/linux/ftrace.h. The reference count is a separate field here. */
export const FTRACE_FL = {
	ENABLED: 1 << 31,
	REGS: 1 << 30,
	REGS_EN: 1 << 29,
	TRAMP: 1 << 28,
	TRAMP_EN: 1 << 27,
	IPMODIFY: 1 << 26,
	/** A function of a module before ftrace_module_enable(): no ops is attached to it yet. */
	DISABLED: 1 << 25,
	DIRECT: 1 << 24,
	DIRECT_EN: 1 << 23,
	/** An ops has been attached since the machine was started. Never cleared, see Records.noclear(). */
	TOUCHED: 1 << 20,
	/** An IPMODIFY or DIRECT ops has been attached since then. Never cleared. */
	MODIFIED: 1 << 19,
} as const;

/** One fentry site. */
export interface dyn_ftrace {
	/** Address of the five bytes: the function's address, plus 4 if it begins with endbr64. */
	readonly ip: Kaddr;
	flags: number;
	count: number;
	/**
	 * Present target of its call; 0 while it is a nop. Cheaper than the kernel's ftrace_get_addr_curr(), with the same
	 * result.
	 */
	current: Kaddr;
}

/** struct pt_regs as ftrace_caller lays it out (arch/x86/include/asm/ptrace.h): offsets in bytes. */
export const PT_REGS = {
	R15: 0,
	R14: 8,
	R13: 16,
	R12: 24,
	RBP: 32,
	RBX: 40,
	R11: 48,
	R10: 56,
	R9: 64,
	R8: 72,
	RAX: 80,
	RCX: 88,
	RDX: 96,
	RSI: 104,
	RDI: 112,
	ORIG_RAX: 120,
	RIP: 128,
	CS: 136,
	EFLAGS: 144,
	RSP: 152,
	SS: 160,
} as const;
export const FRAME_SIZE = 168;
