import { declareState, KlpemuError } from "../../base/index.js";
import { type Kaddr, type Memory, PAGE_SIZE, PERM, toU64 } from "../../memory/index.js";
import type { KernelLayout } from "../lib/index.js";
import {
	accessField,
	initTaskUsage,
	keepSleepState,
	type PerCpu,
	type Sched,
	type TaskStructs,
	type task_struct,
} from "../sched/index.js";
import { kernelVariables, VARIABLES_SIZE } from "./kernel-variables.js";

/** Offset of struct pcpu_hot in a CPU's area: behind fixed_percpu_data, which has the stack protector's canary at 0x28. */
const PCPU_HOT = 0x40;
const PCPU_HOT_SIZE = 0x40;
/** Behind it: this_cpu_off. */
const THIS_CPU_OFF = PCPU_HOT + PCPU_HOT_SIZE;
/** "No reschedule is needed": the bit is inverted, so that the count is 0 when there must be one. */
const PREEMPT_NEED_RESCHED = 0x8000_0000;
/** The fields of task_struct and pcpu_hot that the inline functions of the kernel's headers use. */
const FIELDS = ["pid", "tgid", "comm", "flags", "thread_info.flags", "__state"] as const;

/**
 * Variables of the kernel that modules read without a call, because they were compiled with the kernel's headers: `current`, the
 * preemption count and other per-CPU variables, and the arguments of kmalloc() and schedule_work().
 */
export class KernelData implements TaskStructs {
	static readonly state = declareState("KernelData", { fields: [], unkeyed: ["structs"] });

	readonly #memory: Memory;
	readonly #sched: Sched;
	readonly #percpu: PerCpu;
	readonly #layout: KernelLayout;
	readonly #symbols: ReadonlyMap<string, Kaddr>;
	readonly #offsets: Readonly<Record<(typeof FIELDS)[number], number>>;
	/** Bytes for a task_struct: whole pages. */
	readonly #size: number;
	readonly #end: Kaddr;
	readonly #base: Kaddr;
	/** The task_struct of each task. */
	private readonly structs = new Map<task_struct, Kaddr>();

	/** `area`: for the variables, then for task_structs. */
	constructor(parts: {
		readonly memory: Memory;
		readonly sched: Sched;
		readonly percpu: PerCpu;
		readonly layout: KernelLayout;
		readonly area: { readonly base: Kaddr; readonly end: Kaddr };
	}) {
		const { memory, sched, percpu, layout, area } = parts;
		this.#memory = memory;
		this.#sched = sched;
		this.#percpu = percpu;
		this.#layout = layout;
		this.#size = Math.ceil(layout.size("struct task_struct") / PAGE_SIZE) * PAGE_SIZE;
		const offsets = FIELDS.map((field) => [field, layout.offset(`task_struct.${field}`)]);
		this.#offsets = Object.fromEntries(offsets) as Record<(typeof FIELDS)[number], number>;
		this.#symbols = new Map([...this.#perCpuSymbols(), ...kernelVariables(memory, area.base, sched.cpus.length)]);
		this.#base = (area.base + VARIABLES_SIZE) | 0;
		this.#end = area.end;
		for (const task of sched.all()) this.created(task);
		this.switchedTo(sched.current);
		sched.structs = this;
	}

	/** The value of a symbol: an address, or the offset of a per-CPU variable. */
	symbol(name: string): Kaddr | undefined {
		return this.#symbols.get(name);
	}

	/** The task whose task_struct is at an address. */
	taskAt(address: Kaddr): task_struct | undefined {
		for (const [task, at] of this.structs) if (at === address) return task;
		return undefined;
	}

	structOf(task: task_struct): Kaddr {
		return this.structs.get(task)!;
	}

	#perCpuSymbols(): [string, Kaddr][] {
		const memory = this.#memory;
		const hot = (field: string, elsewhere: number) =>
			PCPU_HOT + (this.#layout.has(`pcpu_hot.${field}`) ? this.#layout.offset(`pcpu_hot.${field}`) : elsewhere);
		const [current, count] = [hot("current_task", 0), hot("preempt_count", 8)];
		this.#percpu.cpuNumber = count + 4;
		for (const { id } of this.#sched.cpus) {
			const area = this.#percpu.per_cpu_offset(id);
			memory.setU32((area + count) | 0, PREEMPT_NEED_RESCHED);
			memory.setU32((area + count + 4) | 0, id);
			memory.setU64((area + THIS_CPU_OFF) | 0, toU64(area));
		}
		// Before 6.2, and from 6.15 on, the members of pcpu_hot are variables of their own.
		return Object.entries({
			...{ pcpu_hot: PCPU_HOT, const_pcpu_hot: PCPU_HOT, this_cpu_off: THIS_CPU_OFF },
			...{ current_task: current, const_current_task: current, __preempt_count: count, cpu_number: count + 4 },
		});
	}

	switchedTo(task: task_struct): void {
		const area = this.#percpu.per_cpu_offset(Math.max(task.on_cpu, 0));
		this.#memory.setU64((area + this.#symbols.get("current_task")!) | 0, toU64(this.structs.get(task)!));
	}

	/** Makes the task_struct of a new task, at an address that depends on its pid alone. Throws `TASK_AREA_FULL`. */
	created(task: task_struct): void {
		// Idle tasks all have pid 0: they come first.
		const slot = task.idle ? task.pinned : this.#sched.cpus.length + task.pid;
		const address = (this.#base + slot * this.#size) | 0;
		if (slot * this.#size + this.#size > this.#end - this.#base) {
			throw new KlpemuError("TASK_AREA_FULL", `no room for the task_struct of '${task.comm}'`, {
				hint: "the addresses are enough for some 10,000 tasks, if a .ko is among the modules",
			});
		}
		this.structs.set(task, address);
		this.#fill(task, address);
	}

	/** There is no list of tasks in guest memory. */
	listed(): void {}
	unlisted(): void {}

	#fill(task: task_struct, address: Kaddr): void {
		const memory = this.#memory;
		memory.map(`task_struct:${task.comm}`, address, this.#size, PERM.READ | PERM.WRITE);
		const at = (field: (typeof FIELDS)[number]) => (address + this.#offsets[field]) | 0;
		memory.setU32(at("pid"), task.pid);
		memory.setU32(at("tgid"), task.pid);
		memory.setU32(at("flags"), task.flags);
		initTaskUsage(memory, at("flags"));
		memory.write(at("comm"), new TextEncoder().encode(task.comm).subarray(0, 15));
		// signal_pending() and its relatives read the flags where they are.
		memory.setU32(at("thread_info.flags"), task.thread_flags);
		accessField(task, "thread_flags", ({ get, set }) => ({
			get,
			set(flags) {
				set(flags);
				memory.setU32(at("thread_info.flags"), flags);
			},
		}));
		keepSleepState(task, memory, at("__state"));
		// preempt_disable() and spin locks of guest code count where the CPU's counter is; what TypeScript counts stays with the task.
		accessField(task, "preempt_count", ({ get, set }) => ({
			get: () => get() + this.#preemptCount(task),
			set: (value) => set(value - this.#preemptCount(task)),
		}));
	}

	/** The counter of the CPU that a task is on. */
	#preemptCount({ on_cpu }: task_struct): number {
		if (on_cpu < 0) return 0;
		const at = this.#percpu.per_cpu_offset(on_cpu) + this.#symbols.get("__preempt_count")!;
		return this.#memory.u32(at | 0) & ~PREEMPT_NEED_RESCHED;
	}
}
