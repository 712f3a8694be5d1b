import { type Kaddr, toU64 } from "../../memory/index.js";
import { type GuestArguments, GuestFault, type GuestMemory, type HostFunctions } from "../guest/index.js";
import { type Dmesg, KERN } from "../lib/index.js";
import type { Sched, task_struct } from "../sched/index.js";
import { __GFP_ZERO } from "./memory.js";
import type { GuestOutput } from "./output.js";

/** Other names of functions, with the same arguments; those that come behind are not read here. */
const ALIASES: Readonly<Record<string, string>> = {
	__kmalloc_noprof: "kmalloc",
	__kmalloc_large_noprof: "kmalloc",
	krealloc_noprof: "krealloc",
	kmemdup_noprof: "kmemdup",
	kvfree: "kfree",
	vfree: "kfree",
	vmalloc_user_noprof: "vzalloc_noprof",
	kfree_sensitive: "kfree",
	// Texts of modules are not in the kernel's own .rodata.
	kfree_const: "kfree",
	kstrdup_const: "kstrdup",
	ktime_get_with_offset: "ktime_get",
	ktime_get_coarse_with_offset: "ktime_get",
	ktime_get_raw: "ktime_get",
	ktime_get_raw_ts64: "ktime_get_ts64",
	ktime_get_coarse_ts64: "ktime_get_ts64",
	ktime_get_coarse_real_ts64: "ktime_get_real_ts64",
	synchronize_rcu_expedited: "synchronize_rcu",
	yield: "__cond_resched",
	sysfs_create_file_ns: "sysfs_create_file",
	sysfs_remove_file_ns: "sysfs_remove_file",
	// Their names before 6.2.
	del_timer: "timer_delete",
	del_timer_sync: "timer_delete_sync",
	// Their names since 6.15.
	timer_init_key: "init_timer_key",
	alloc_workqueue_noprof: "alloc_workqueue",
	// Nobody sends signals but livepatch, whose signal ends no such wait.
	mutex_lock_interruptible: "mutex_lock_killable",
	wait_for_completion_interruptible: "wait_for_completion_killable",
	// As with preempt=voluntary.
	__SCT__cond_resched: "__cond_resched",
	__SCT__might_resched: "__cond_resched",
};

/** Functions that do what another one does: its arguments are these of theirs. */
const REORDERED: Readonly<Record<string, readonly [name: string, ...args: readonly number[]]>> = {
	// (cache, flags, size)
	__kmalloc_cache_noprof: ["kmalloc", 2, 1],
};

/** The task_structs in the layout of the kernel. */
export interface KernelTasks {
	/** The task whose task_struct is at an address. */
	taskAt(address: Kaddr): task_struct | undefined;
	structOf(task: task_struct): Kaddr;
}

/** include/linux/refcount.h */
const REFCOUNT_SATURATED = 0xc0000000;
const REFCOUNT_WARNINGS = [
	...["saturated; leaking memory.", "saturated; leaking memory.", "addition on 0; use-after-free."],
	...["underflow; use-after-free.", "decrement hit 0; leaking memory."],
];

/** enum fortify_func (include/linux/fortify-string.h); the reason has 1 in its lowest bit for a write. */
const FORTIFIED = [
	...["strncpy", "strnlen", "strlen", "strscpy", "strlcat", "strcat", "strncat", "memset", "memcpy", "memmove"],
	...["memscan", "memcmp", "memchr", "memchr_inv", "kmemdup", "strcpy"],
];

/** include/linux/poison.h */
const LIST_POISON1 = 0xdead_0000_0000_0100n;
const LIST_POISON2 = 0xdead_0000_0000_0122n;

/** The name under which asm/vmlinux or a gate has a function that the kernel's headers call by another name. */
export function aliasOf(name: string): string | undefined {
	return Object.hasOwn(ALIASES, name) ? ALIASES[name] : undefined;
}

/** Functions that only code which was compiled with the kernel's headers calls: most are behind an inline function. */
export class KernelAbi {
	readonly #memory: GuestMemory;
	readonly #dmesg: Dmesg;
	readonly #output: GuestOutput;
	readonly #tasks: KernelTasks;
	readonly #sched: Sched;
	/** The functions of other groups, by name. */
	readonly #others: HostFunctions["plain"];

	constructor(
		memory: GuestMemory,
		dmesg: Dmesg,
		output: GuestOutput,
		tasks: KernelTasks,
		sched: Sched,
		others: readonly HostFunctions[],
	) {
		this.#memory = memory;
		this.#dmesg = dmesg;
		this.#output = output;
		this.#tasks = tasks;
		this.#sched = sched;
		this.#others = Object.assign({}, ...others.map(({ plain }) => plain));
	}

	/** INIT_LIST_HEAD() */
	#initList(head: Kaddr): void {
		this.#memory.setU64(head, toU64(head));
		this.#memory.setU64((head + 8) | 0, toU64(head));
	}

	/** A wait queue (of either kind) is a spin lock and a list. */
	#initQueue(queue: Kaddr): undefined {
		this.#memory.setU64(queue, 0n);
		this.#initList((queue + 8) | 0);
		return undefined;
	}

	#next(at: Kaddr): bigint {
		return this.#memory.u64(at);
	}

	#prev(at: Kaddr): bigint {
		return this.#memory.u64((at + 8) | 0);
	}

	/** lib/list_debug.c: true if `what` holds none. */
	#valid(problem: string | undefined): number {
		if (problem === undefined) return 1;
		this.#dmesg.print(KERN.ERR, problem);
		this.#dmesg.warnings.push(problem);
		return 0;
	}

	/** (new, prev, next) */
	#listAdd(args: GuestArguments): number {
		const [added, prev, next] = [args.u64(0), args.u64(1), args.u64(2)];
		if (prev === 0n || next === 0n)
			return this.#valid(`list_add corruption. ${prev === 0n ? "prev" : "next"} is NULL.`);
		const [back, forth] = [this.#prev(args.pointer(2)), this.#next(args.pointer(1))];
		const was = (list: string, of: string, is: bigint, found: bigint, last: string) =>
			`list_add corruption. ${list} should be ${of} (${px(is)}), but was ${px(found)}. (${last}).`;
		if (back !== prev) return this.#valid(was("next->prev", "prev", prev, back, `next=${px(next)}`));
		if (forth !== next) return this.#valid(was("prev->next", "next", next, forth, `prev=${px(prev)}`));
		if (added !== prev && added !== next) return 1;
		return this.#valid(`list_add double add: new=${px(added)}, prev=${px(prev)}, next=${px(next)}.`);
	}

	/** (entry) */
	#listDel(args: GuestArguments): number {
		const [entry, at] = [args.u64(0), args.pointer(0)];
		const [next, prev] = [this.#next(at), this.#prev(at)];
		const of = `list_del corruption, ${px(entry)}`;
		if (next === 0n || prev === 0n) return this.#valid(`${of}->${next === 0n ? "next" : "prev"} is NULL`);
		if (next === LIST_POISON1) return this.#valid(`${of}->next is LIST_POISON1 (${px(next)})`);
		if (prev === LIST_POISON2) return this.#valid(`${of}->prev is LIST_POISON2 (${px(prev)})`);
		const [forth, back] = [this.#memory.bytes(prev, 8), this.#memory.bytes(next + 8n, 8)].map(word);
		if (forth !== entry) {
			return this.#valid(
				`list_del corruption. prev->next should be ${px(entry)}, but was ${px(forth!)}. (prev=${px(prev)})`,
			);
		}
		if (back === entry) return 1;
		return this.#valid(
			`list_del corruption. next->prev should be ${px(entry)}, but was ${px(back!)}. (next=${px(next)})`,
		);
	}

	/** (r, type): lib/refcount.c */
	#saturated(at: Kaddr, type: number): undefined {
		this.#memory.setU32(at, REFCOUNT_SATURATED);
		this.#dmesg.WARN_ONCE(
			`refcount_t: ${REFCOUNT_WARNINGS[type] ?? "unknown saturation event!?."}`,
			"refcount_warn_saturate",
		);
		return undefined;
	}

	/** __fortify_report(), then BUG(): lib/string_helpers.c. Throws `GUEST_FAULT`. */
	#fortify(reason: number, avail: bigint, size: bigint): never {
		const func = FORTIFIED[reason >> 1] ?? "UNKNOWN";
		const what = `${func}: detected buffer overflow: ${size} byte ${reason & 1 ? "write" : "read"} of buffer size ${avail}`;
		this.#dmesg.WARN_ON(true, what);
		throw new GuestFault({ kind: "invalid-opcode" }, what);
	}

	#reordered(): HostFunctions["plain"] {
		return Object.fromEntries(
			Object.entries(REORDERED).map(([name, [other, ...order]]) => {
				const call = this.#others[other]!;
				return [name, (args: GuestArguments) => call(args.pick(order))];
			}),
		);
	}

	functions(): HostFunctions {
		const memory = this.#memory;
		return {
			plain: {
				...this.#reordered(),
				__list_add_valid_or_report: (args) => this.#listAdd(args),
				__list_del_entry_valid_or_report: (args) => this.#listDel(args),
				// There is one name space: all kinds of pid are the same number.
				__task_pid_nr_ns: (args) => this.#tasks.taskAt(args.pointer(0))?.pid ?? 0,
				__init_swait_queue_head: (args) => this.#initQueue(args.pointer(0)),
				__init_waitqueue_head: (args) => this.#initQueue(args.pointer(0)),
				__mutex_init: (args) => {
					// The owner; two locks in one word; the list of waiters.
					memory.setU64(args.pointer(0), 0n);
					return this.#initQueue((args.pointer(0) + 8) | 0);
				},
				// Nobody must be scheduled there: preemption is the machine's own.
				__SCT__preempt_schedule: () => undefined,
				__SCT__preempt_schedule_notrace: () => undefined,
				// A pr_debug() that is on: (descriptor, format, ...).
				__dynamic_pr_debug: (args) => this.#output.printk(args, 1, KERN.DEBUG),
				// (queue, entry, state): 0, or an errno if a signal is pending.
				prepare_to_wait_event: (args) => {
					this.#others.prepare_to_wait!(args);
					return 0;
				},
				// A task that waits on a queue knows it itself: entries of the queue are not used.
				init_wait_entry: () => undefined,
				autoremove_wake_function: () => 0,
				default_wake_function: () => 0,
				// Its address is in each delayed_work; the machine itself keeps the time.
				delayed_work_timer_fn: () => undefined,
				nop_func: () => undefined,
				// (size)
				vmalloc_noprof: (args) => this.#others.kmalloc!(args.withValues([args.u64(0), 0n])),
				vzalloc_noprof: (args) => this.#others.kmalloc!(args.withValues([args.u64(0), BigInt(__GFP_ZERO)])),
				// (size, flags, node), or (size, buckets, flags, node) with CONFIG_SLAB_BUCKETS: buckets are NULL, flags never 0.
				__kvmalloc_node_noprof: (args) => this.#others.kmalloc!(args.pick([0, args.u64(1) === 0n ? 2 : 1])),
				refcount_warn_saturate: (args) => this.#saturated(args.pointer(0), args.u32(1)),
				// No time passes within a call of guest code.
				__const_udelay: () => undefined,
				__udelay: () => undefined,
				__ndelay: () => undefined,
				__sw_hweight64: (args) => weight(args.u64(0)),
				__sw_hweight32: (args) => weight(BigInt(args.u32(0))),
				mutex_is_locked: (args) => Number(memory.u64(args.pointer(0)) !== 0n),
				dump_stack: () => {
					// dump_stack_print_info(); the stack itself is in reports.
					const { on_cpu, pid, comm } = this.#sched.current;
					this.#dmesg.print(KERN.WARNING, `CPU: ${on_cpu} UID: 0 PID: ${pid} Comm: ${comm}`);
					return undefined;
				},
				// The machine itself keeps its tasks.
				__put_task_struct: () => undefined,
				// (reason, avail, size)
				__fortify_panic: (args) => this.#fortify(args.u32(0), args.u64(1), args.u64(2)),
				BUG_func: () => {
					throw new GuestFault({ kind: "invalid-opcode" }, "a function of pv_ops that only a hypervisor has");
				},
				__stack_chk_fail: () => {
					const panic = "stack-protector: Kernel stack is corrupted";
					this.#dmesg.print(KERN.EMERG, `Kernel panic - not syncing: ${panic}`);
					throw new GuestFault({ kind: "invalid-opcode" }, panic);
				},
			},
			sleeping: {},
		};
	}
}

function word(bytes: Uint8Array): bigint {
	return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
}

/** How many bits are set. */
function weight(value: bigint): number {
	return [...value.toString(2)].filter((bit) => bit === "1").length;
}

/** %px */
function px(value: bigint): string {
	return value.toString(16).padStart(16, "0");
}
