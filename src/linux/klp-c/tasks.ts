import { declareState, KlpemuError } from "../../base/index.js";
import type { Cpu } from "../../cpu/index.js";
import { type Kaddr, type Memory, PAGE_SIZE, PERM, toU64 } from "../../memory/index.js";
import type { GuestTaskField } from "../klp/index.js";
import {
	accessField,
	initTaskUsage,
	keepSleepState,
	PERCPU_MODULES,
	type PerCpu,
	PF_IDLE,
	PF_KTHREAD,
	type Sched,
	type TaskStructs,
	TIF_NOTIFY_SIGNAL,
	TIF_PATCH_PENDING,
	type task_struct,
} from "../sched/index.js";
import type { CoreImage } from "./core-image.js";

/** PREEMPT_NEED_RESCHED of a CPU's preempt_count is inverted: set says that nobody must be scheduled. */
const PREEMPT_COUNT = 0x7fffffff;
const PREEMPT_NEED_RESCHED = 0x80000000;

interface Parts {
	readonly core: CoreImage;
	readonly sched: Sched;
	readonly percpu: PerCpu;
	/** The structs' area. */
	readonly base: Kaddr;
}

/**
 * The tasks of the scheduler as the core sees them: a struct task_struct and a struct signal_struct for each in guest memory, the list
 * of processes from init_task on, and `current` of each CPU. Fields that the core's C reads and writes exist there only: the fields of
 * the TypeScript objects are accessors.
 */
export class CoreTasks implements TaskStructs {
	static readonly state = declareState("CoreTasks", {
		fields: [],
		unkeyed: ["structs", "tasks", "next", "areas", "ownAreas", "places"],
	});

	readonly #core: CoreImage;
	readonly #memory: Memory;
	readonly #sched: Sched;
	readonly #percpu: PerCpu;
	/** Address of each task's struct. An address is never used twice, so that a stale pointer leads to the dead task. */
	private readonly structs = new Map<task_struct, Kaddr>();
	private readonly tasks = new Map<Kaddr, task_struct>();
	readonly #base: Kaddr;
	private next: Kaddr;
	/** Per-CPU area of each task, see {@link giveOwnAreas}. */
	private readonly areas = new Map<task_struct, Kaddr>();
	private ownAreas = false;
	/** The places of fields. */
	private readonly places = new Map<Kaddr, readonly [task_struct, GuestTaskField]>();
	/** Offsets in each CPU's area. */
	readonly #preempt_count: number;
	readonly #current_task: number;

	/** Takes over all tasks that there are; from now on the scheduler reports new ones. */
	constructor({ core, sched, percpu, base }: Parts) {
		this.#core = core;
		this.#memory = core.memory;
		this.#sched = sched;
		this.#percpu = percpu;
		this.#base = base;
		this.next = base;
		this.#preempt_count = core.percpuOffset("pcpu_hot", "preempt_count");
		this.#current_task = core.percpuOffset("pcpu_hot", "current_task");
		percpu.cpuNumber = this.#preempt_count + 4;
		this.#checkConstants();
		this.#bootIdleTasks();
		for (const task of sched.tasks) {
			this.created(task);
			this.listed(task);
		}
		sched.structs = this;
	}

	/** The flags of the TypeScript side are those of this kernel, or nothing would fit. */
	#checkConstants(): void {
		const { layout } = this.#core;
		const bits = { TIF_PATCH_PENDING, TIF_NOTIFY_SIGNAL };
		for (const [name, bit] of Object.entries(bits)) {
			if (1 << layout.constant(name) !== bit) throw this.#differs(name, `bit ${Math.log2(bit)}`);
		}
		for (const [name, value] of Object.entries({ PF_KTHREAD, PF_IDLE })) {
			if (layout.constant(name) !== value) throw this.#differs(name, `0x${value.toString(16)}`);
		}
	}

	#differs(name: string, here: string): KlpemuError {
		const { release } = this.#core.layout;
		return new KlpemuError("CORE_LAYOUT", `${name} of Linux ${release} is another one than klpemu's (${here})`, {
			hint: "klpemu emulates Linux 6.12 on x86-64",
		});
	}

	/** The swapper of CPU 0 is init_task; the others are found by idle_task(). */
	#bootIdleTasks(): void {
		const { image } = this.#core;
		const idle = image.symbol("klpemu_idle_tasks");
		for (const cpu of this.#sched.cpus) {
			if (cpu.id === 0) this.#adopt(cpu.idle, this.#core.address("init_task"));
			else this.created(cpu.idle);
			if (idle === undefined || (cpu.id + 1) * 8 > idle.size) {
				throw new KlpemuError("CORE_CPUS", `the core has no room for ${this.#sched.cpus.length} CPUs`, {
					hint: "KLPEMU_CPUS of asm/kernel-env/tasks.c",
				});
			}
			this.#memory.setU64((idle.address + 8 * cpu.id) | 0, toU64(this.address(cpu.idle)));
			const area = this.#percpu.per_cpu_offset(cpu.id);
			this.#core.initPerCpu(area);
			this.#memory.setU32((area + this.#preempt_count + 4) | 0, cpu.id);
			this.#setCurrent(cpu.id, cpu.idle);
		}
	}

	/** Address of a task's struct. */
	address(task: task_struct): Kaddr {
		const address = this.structs.get(task);
		if (address === undefined) throw new Error(`task '${task.comm}' has no struct task_struct`);
		return address;
	}

	/** The task whose struct is at an address; undefined: none. */
	at(address: Kaddr): task_struct | undefined {
		return this.tasks.get(address);
	}

	/** From now on each task has a per-CPU area of its own, behind its structs, and is `current` there. */
	giveOwnAreas(): void {
		this.ownAreas = true;
		for (const [task, address] of this.structs) this.#giveArea(task, address);
		this.#percpu.own = {
			of: (task) => this.areas.get(task)!,
			all: () => this.areas.values(),
			contains: (address) => this.#isOfTask(address),
		};
	}

	/** Each task has a per-CPU area of its own, in which it is `current`. */
	get haveAreas(): boolean {
		return this.ownAreas;
	}

	/** The per-CPU variables of modules, as a CPU has them. */
	#copyModules(area: Kaddr): void {
		const memory = this.#memory;
		const own = memory.read((this.#percpu.per_cpu_offset(0) + PERCPU_MODULES) | 0, PAGE_SIZE - PERCPU_MODULES);
		if (own.some((byte) => byte !== 0)) memory.write((area + PERCPU_MODULES) | 0, own);
	}

	#isOfTask(address: Kaddr): boolean {
		if (address < this.#base || address >= this.next) return false;
		for (const area of this.areas.values()) if (address >= area && address < area + PAGE_SIZE) return true;
		return false;
	}

	/** A page of the area for structs. */
	#giveArea(task: task_struct, struct: Kaddr): void {
		const area = this.next;
		this.#memory.map(`percpu:${task.comm}`, area, PAGE_SIZE, PERM.READ | PERM.WRITE);
		this.next = (area + PAGE_SIZE) | 0;
		this.#core.initPerCpu(area);
		this.#copyModules(area);
		this.#memory.setU64((area + this.#current_task) | 0, toU64(struct));
		this.areas.set(task, area);
		this.#place((area + this.#preempt_count) | 0, 4, task, "preempt_count");
	}

	#place(at: Kaddr, size: number, task: task_struct, field: GuestTaskField): void {
		for (let i = 0; i < size; i++) this.places.set((at + i) | 0, [task, field]);
	}

	/** The task and field whose value is at an address. */
	fieldAt(address: Kaddr): readonly [task_struct, GuestTaskField] | undefined {
		return this.places.get(address);
	}

	/** Guest memory for a struct that is not of a task. */
	allocate(name: string): Kaddr {
		const { layout } = this.#core;
		const size = this.#signalOffset() + layout.size("struct signal_struct");
		const length = Math.ceil(size / PAGE_SIZE) * PAGE_SIZE;
		const address = this.next;
		this.#memory.map(`task_struct:${name}`, address, length, PERM.READ | PERM.WRITE);
		this.next = (address + length) | 0;
		return address;
	}

	#signalOffset(): number {
		return Math.ceil(this.#core.layout.size("struct task_struct") / 64) * 64;
	}

	#field(address: Kaddr, field: string): Kaddr {
		return (address + this.#core.layout.offset(`task_struct.${field}`)) | 0;
	}

	/** Addresses of the words with patch_state and thread flags. */
	wordsOf(task: task_struct): readonly Kaddr[] {
		const address = this.address(task);
		return [this.#field(address, "patch_state"), this.#field(address, "thread_info.flags")];
	}

	created(task: task_struct): void {
		const address = this.allocate(task.comm);
		const memory = this.#memory;
		const { layout } = this.#core;
		const signal = (address + this.#signalOffset()) | 0;
		const head = (signal + layout.offset("signal_struct.thread_head")) | 0;
		this.#listInit(this.#field(address, "tasks"));
		this.#listInit(head);
		this.#listAddTail(this.#field(address, "thread_node"), head);
		memory.setU64(this.#field(address, "signal"), toU64(signal));
		memory.setU32((signal + layout.offset("signal_struct.nr_threads")) | 0, 1);
		memory.setU32(this.#field(address, "pid"), task.pid);
		memory.setU32(this.#field(address, "tgid"), task.pid);
		memory.setU32(this.#field(address, "flags"), task.flags);
		memory.setU64(this.#field(address, "group_leader"), toU64(address));
		const comm = new TextEncoder().encode(task.comm).subarray(0, layout.constant("TASK_COMM_LEN") - 1);
		memory.write(this.#field(address, "comm"), comm);
		this.#adopt(task, address);
	}

	/** From now on the task's fields are those of the struct. */
	#adopt(task: task_struct, address: Kaddr): void {
		this.structs.set(task, address);
		this.tasks.set(address, task);
		const memory = this.#memory;
		const word = (field: "patch_state" | "thread_flags" | "trace_recursion", name: string) => {
			const at = this.#field(address, name);
			// The C sets and tests bits with instructions that access one byte.
			this.#place(at, field === "patch_state" ? 4 : 8, task, field);
			accessField(task, field, (inner) => {
				memory.setU32(at, inner.get() >>> 0);
				return { get: () => memory.i32(at), set: (value) => memory.setU32(at, value >>> 0) };
			});
		};
		word("patch_state", "patch_state");
		word("thread_flags", "thread_info.flags");
		word("trace_recursion", "trace_recursion");
		keepSleepState(task, memory, this.#field(address, "__state"));
		initTaskUsage(memory, this.#field(address, "flags"));
		// It is a CPU's, and 0 whenever a task is not on one.
		accessField(task, "preempt_count", () => ({
			get: () => {
				const at = this.#preemptCountOf(task);
				return at === undefined ? 0 : memory.u32(at) & PREEMPT_COUNT;
			},
			set: (value) => {
				const at = this.#preemptCountOf(task);
				if (at !== undefined) memory.setU32(at, (value | PREEMPT_NEED_RESCHED) >>> 0);
			},
		}));
		if (this.ownAreas) this.#giveArea(task, address);
	}

	/** Undefined: the task is on no CPU. */
	#preemptCountOf(task: task_struct): Kaddr | undefined {
		const own = this.areas.get(task);
		if (own !== undefined) return (own + this.#preempt_count) | 0;
		return task.on_cpu < 0 ? undefined : this.#preemptCount(task.on_cpu);
	}

	#preemptCount(cpu: number): Kaddr {
		return (this.#percpu.per_cpu_offset(cpu) + this.#preempt_count) | 0;
	}

	#setCurrent(cpu: number, task: task_struct): void {
		const area = this.#percpu.per_cpu_offset(cpu);
		this.#memory.setU64((area + this.#current_task) | 0, toU64(this.address(task)));
	}

	/**
	 * Runs code of the core that takes `current` for the task, which the scheduler has not put on a CPU for that: a system call that
	 * TypeScript makes for it. Registers and `current` are afterwards as before. The code does not wait.
	 */
	asCurrent(task: task_struct, cpu: Cpu, code: () => void): void {
		const sched = this.#sched;
		const { current } = sched;
		const words = cpu.state.words.slice();
		const at = Math.max(task.on_cpu, 0);
		const before = sched.cpus[at]!.curr;
		sched.current = task;
		this.#setCurrent(at, task);
		try {
			code();
		} finally {
			this.#setCurrent(at, before);
			sched.current = current;
			cpu.state.words.set(words);
		}
	}

	switchedTo(task: task_struct): void {
		if (task.on_cpu >= 0) this.#setCurrent(task.on_cpu, task);
	}

	/** copy_process(): list_add_tail_rcu(&p->tasks, &init_task.tasks) */
	listed(task: task_struct): void {
		const head = this.#field(this.#core.address("init_task"), "tasks");
		this.#listAddTail(this.#field(this.address(task), "tasks"), head);
	}

	/** __unhash_process(): list_del_rcu(&p->tasks). The entry still leads to the next one. */
	unlisted(task: task_struct): void {
		const memory = this.#memory;
		const entry = this.#field(this.address(task), "tasks");
		const [next, prev] = [memory.kaddr(entry), memory.kaddr((entry + 8) | 0)];
		memory.setU64(prev, toU64(next));
		memory.setU64((next + 8) | 0, toU64(prev));
	}

	#listInit(head: Kaddr): void {
		this.#memory.setU64(head, toU64(head));
		this.#memory.setU64((head + 8) | 0, toU64(head));
	}

	#listAddTail(entry: Kaddr, head: Kaddr): void {
		const memory = this.#memory;
		const last = memory.kaddr((head + 8) | 0);
		memory.setU64(entry, toU64(head));
		memory.setU64((entry + 8) | 0, toU64(last));
		memory.setU64((head + 8) | 0, toU64(entry));
		memory.setU64(last, toU64(entry));
	}
}
