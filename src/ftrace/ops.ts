import { list_head } from "../kernel/index.js";
import type { Kaddr } from "../memory/index.js";

/** Flags of a ftrace_ops (include/linux/ftrace.h). */
export const FTRACE_OPS_FL = {
	ENABLED: 1 << 0,
	DYNAMIC: 1 << 1,
	SAVE_REGS: 1 << 2,
	RECURSION: 1 << 4,
	ADDING: 1 << 9,
	REMOVING: 1 << 10,
	ALLOC_TRAMP: 1 << 12,
	IPMODIFY: 1 << 13,
	RCU: 1 << 14,
	PERMANENT: 1 << 16,
} as const;

/** The host side of a ftrace_func_t. `ops` and `fregs` are guest addresses, as in the kernel. */
export type ftrace_func_t = (ip: Kaddr, parent_ip: Kaddr, ops: Kaddr, fregs: Kaddr) => void;

/** What wants to be called at fentry sites. `owner` is what the ops is embedded in (container_of). */
export class ftrace_ops<T = unknown> {
	readonly name: string;
	readonly owner: T;
	flags: number;
	/** The call-back: its guest address (a gate) for trampolines, and the host function for the list function. */
	readonly func: Kaddr;
	readonly call: ftrace_func_t;
	/** The call sites it is attached to, by address (func_hash->filter_hash). Never "all functions". */
	readonly filter_hash = new Set<Kaddr>();
	/** Guest address of the struct, while registered: what the trampoline passes in rdx. 0 before. */
	address: Kaddr = 0;
	trampoline: Kaddr = 0;
	trampoline_size = 0;
	readonly list: list_head<ftrace_ops> = new list_head<ftrace_ops>(this);

	constructor(name: string, owner: T, func: Kaddr, call: ftrace_func_t, flags: number) {
		this.name = name;
		this.owner = owner;
		this.func = func;
		this.call = call;
		this.flags = flags;
	}
}

/** Flags of a dyn_ftrace, see include/linux/ftrace.h. The reference count is a field of its own here. */
export const FTRACE_FL = {
	ENABLED: 1 << 31,
	REGS: 1 << 30,
	REGS_EN: 1 << 29,
	TRAMP: 1 << 28,
	TRAMP_EN: 1 << 27,
	IPMODIFY: 1 << 26,
} as const;

/** One fentry site. */
export interface dyn_ftrace {
	/** Address of the five bytes: the function's, or that plus 4 behind an endbr64. */
	readonly ip: Kaddr;
	flags: number;
	count: number;
	/** Where its call goes now; 0 while it is a nop. Cheaper than the kernel's ftrace_get_addr_curr and always the same. */
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
