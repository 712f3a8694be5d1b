import type { Assembled } from "../assemble/index.js";
import { declareState, KlpemuError, Random } from "../base/index.js";
import { type Cpu, type Fault, GatePage } from "../cpu/index.js";
import type { ElfObject, Image } from "../elf/index.js";
import { GuestKernel } from "../linux/exports/index.js";
import { Files } from "../linux/fs/index.js";
import { Ftrace, FunctionTracer, TextPoke, Tracefs } from "../linux/ftrace/index.js";
import { Klp, type LivepatchSysfs } from "../linux/klp/index.js";
import {
	Dmesg,
	FaultInjection,
	Kallsyms,
	type Kernel,
	Observers,
	Printer,
	runStraight,
	type Wait,
} from "../linux/lib/index.js";
import { type InsmodOptions, type LoadedModule, Loader, Symbols } from "../linux/module/index.js";
import {
	type Continuation,
	CpuHotplug,
	Executor,
	HostTasks,
	KernelStacks,
	PF_KTHREAD,
	Sched,
	switchedVoluntarily,
	synchronize_rcu,
	synchronize_rcu_tasks,
	TASK_DEAD,
	TASK_IDLE,
	TASK_INTERRUPTIBLE,
	TASK_RUNNING,
	TASK_UNINTERRUPTIBLE,
	type TaskProgram,
	TIF_NOTIFY_SIGNAL,
	type task_struct,
	Unwinder,
	Workqueue,
} from "../linux/sched/index.js";
import { hex, type Kaddr, Memory, PAGE_SIZE, PERM } from "../memory/index.js";
import { type AssembledEngine, decodeEngine, label, trampolineTemplates } from "./assembly.js";
import { COND_RESCHED, declareGates, declareHandler, declareHostFunctions } from "./gates.js";
import { ENGINE_GATES, GuestAreas, KERNEL_GATES, LAYOUT } from "./layout.js";
import type { Observer } from "./observers.js";
import type { MachineOptions, NewTask } from "./options.js";

/** Rounds that somebody may wait for somebody else, before that is called a deadlock. */
const WAIT_ROUNDS = 100_000;

export type { LoadedModule } from "../linux/module/index.js";
export type { MachineOptions, NewTask } from "./options.js";

/**
 * The whole machine: guest memory, a Cpu, tasks, ftrace and livepatch, and the administrator who acts on them. It advances in
 * rounds: in each, every emulated CPU runs one slice of one task. What the administrator does (insmod, writes to sysfs) runs
 * on CPU 0 as the task `shell`, at once.
 */
export class Machine {
	static readonly state = declareState({
		fields: [
			...["sched", "stacks", "hotplug", "kallsyms", "text_poke", "ftrace", "tracer", "klp", "loader", "guest"],
			...["vmlinux", "workqueue", "areas", "hostTasks", "dmesg"],
		],
	});

	readonly memory: Memory;
	readonly cpu: Cpu;
	readonly dmesg = new Dmesg();
	readonly sched: Sched;
	readonly executor: Executor;
	/** CPUs that come and go. */
	readonly hotplug: CpuHotplug;
	readonly ftrace: Ftrace;
	readonly tracer: FunctionTracer;
	readonly tracefs: Tracefs;
	readonly klp: Klp;
	readonly hz: number;
	/** What guest code can call, and how it is called. */
	readonly guest: GuestKernel;
	readonly loader: Loader;
	/** Every file there is. */
	readonly files: Files;
	readonly vmlinux: Image;

	/** Those who watch; see {@link observe}. */
	readonly observers = new Observers<Observer>();

	readonly faults: FaultInjection;
	readonly hostTasks: HostTasks;
	readonly stacks: KernelStacks;
	readonly unwinder: Unwinder;
	readonly kallsyms = new Kallsyms();
	/** What an address belongs to, whatever it is of. */
	readonly symbols: Symbols;
	/** All loaded modules by name, in the order they were loaded. */
	readonly modules = new Map<string, LoadedModule>();

	readonly #gates: GatePage;
	/** The fields that follow are public for the explorer, which saves and restores all there is. */
	readonly text_poke: TextPoke;
	readonly workqueue = new Workqueue();
	readonly #asm: AssembledEngine;
	readonly #print: Printer;
	readonly areas: GuestAreas;
	/** Guest address of `jiffies`, when vmlinux has it. */
	readonly #jiffies: Kaddr | undefined;
	/** The kworker is in a work, and waits there for others. */
	private kworkerBusy = false;
	/** How many pieces of kernel code in TypeScript are in progress, each waiting for the next. */
	private running = 0;

	static async create(options: MachineOptions): Promise<Machine> {
		const memory = new Memory({ bytes: options.memoryBytes });
		const cpu = await options.createCpu(memory);
		const gates = new GatePage(memory, cpu, LAYOUT.gates, [...ENGINE_GATES, ...KERNEL_GATES]);
		const machine: { it?: Machine } = {};
		declareGates(gates, () => machine.it!);
		const areas = new GuestAreas(memory);
		machine.it = new Machine(options, areas, cpu, gates, decodeEngine(options.image));
		return machine.it;
	}

	private constructor(options: MachineOptions, areas: GuestAreas, cpu: Cpu, gates: GatePage, asm: AssembledEngine) {
		const { memory } = cpu;
		this.memory = memory;
		this.cpu = cpu;
		this.areas = areas;
		this.hz = options.hz;
		this.faults = new FaultInjection(options.should_fail);
		this.#gates = gates;
		this.#asm = asm;
		this.#print = new Printer(this.dmesg, "");
		for (const code of [asm.entry, asm.ftrace, asm.ops]) this.#mapCode(code);
		memory.map("percpu", LAYOUT.percpu, options.cpus * PAGE_SIZE, PERM.READ | PERM.WRITE);

		this.sched = new Sched(options.cpus, new Random(options.seed), options.preemption);
		this.text_poke = new TextPoke(memory, (address, length) => cpu.textChanged(address, length));
		this.stacks = new KernelStacks(memory, { base: LAYOUT.stacks, end: LAYOUT.stacksEnd });
		this.executor = new Executor(cpu, this.sched, this.stacks, {
			entry: {
				user: label(asm.entry, "entry_SYSCALL_64"),
				kthread: label(asm.entry, "ret_from_fork_asm"),
				idle: label(asm.entry, "secondary_startup_64"),
			},
			percpu,
			gate: (name, task) => this.stoppedAt(name, task),
			goOn: (task) => this.guest.goOn(task),
			int3: () => this.text_poke.poke_int3_handler(cpu.state),
			oops: (task, fault, rip) => this.oops(task, fault, rip),
			sleeping: (task) => this.sched.fallAsleep(task),
		});
		this.hostTasks = new HostTasks(this.sched);
		this.sched.current = this.shell;

		this.hotplug = new CpuHotplug(this.sched, this.dmesg);
		this.ftrace = new Ftrace(this.#ftraceEnvironment());
		this.symbols = new Symbols({
			...{ gates, ftrace: asm.ftrace, assembly: [asm.entry, asm.ops] },
			...{ kallsyms: this.kallsyms, trampolines: this.ftrace.trampolines },
		});
		this.unwinder = new Unwinder(memory, this.symbols);
		this.tracer = new FunctionTracer(this.ftrace, this.#tracerEnvironment());
		this.tracefs = new Tracefs(this.ftrace, this.tracer, this.symbols);
		const { dmesg, observers, faults, sched, hotplug, workqueue, unwinder, kallsyms, modules, text_poke, ftrace } =
			this;
		this.klp = new Klp(
			{
				...{
					memory,
					dmesg,
					observers,
					faults,
					sched,
					hotplug,
					workqueue,
					unwinder,
					kallsyms,
					modules,
					text_poke,
					ftrace,
				},
				klp_ftrace_handler_address: gates.address("klp_ftrace_handler"),
				HZ: this.hz,
				klp_have_reliable_stack: true,
			},
			options.design,
		);
		declareHandler(gates, this.klp);
		this.guest = new GuestKernel(this.#guestEnvironment());
		this.loader = new Loader(this.#loaderEnvironment());
		for (const functions of [...this.guest.functions(), this.loader.functions()]) {
			declareHostFunctions(gates, cpu, functions, (error) => this.guest.failed(error));
			this.guest.add(functions);
		}
		this.vmlinux = this.loader.linkVmlinux(options.vmlinux, LAYOUT.vmlinux);
		this.#jiffies = this.vmlinux.symbol("jiffies")?.address;
		this.files = new Files(this);
	}

	/** /sys/kernel/livepatch */
	get sysfs(): LivepatchSysfs {
		return this.klp.sysfs;
	}

	/** The administrator's process. */
	get shell(): task_struct {
		return this.hostTasks.shell;
	}
	/** Runs the works of the kernel itself. */
	get kworker(): task_struct {
		return this.hostTasks.kworker;
	}

	/**
	 * Tells `observer` what happens from now on, after those that were there before it. The function that comes back ends that.
	 */
	observe(observer: Observer): () => void {
		const unsubscribe = this.observers.observe(observer);
		this.#observeInstructions();
		return () => {
			unsubscribe();
			this.#observeInstructions();
		};
	}

	/** The Cpu tells of instructions only while an observer wants that. */
	#observeInstructions(): void {
		const watching = [...this.observers].filter((observer) => observer.instruction !== undefined);
		const tell = (rip: bigint) => {
			for (const observer of watching) observer.instruction?.(rip);
		};
		this.cpu.onInstruction = watching.length === 0 ? undefined : tell;
	}

	#visit(label: string): void {
		for (const observer of this.observers) observer.point?.(label);
	}

	// ---- guest code ----

	#mapCode(code: Assembled): void {
		const length = Math.ceil(code.bytes.length / PAGE_SIZE) * PAGE_SIZE;
		this.memory.map("entry text", code.base, length, PERM.READ | PERM.EXEC);
		this.memory.write(code.base, code.bytes);
		this.cpu.textChanged(code.base, code.bytes.length);
	}

	/** `funcA+0x4`, for people. */
	symbolize(address: Kaddr): string {
		return this.symbols.symbolize(address);
	}

	// ---- environments ----

	#ftraceEnvironment(): ConstructorParameters<typeof Ftrace>[0] {
		return {
			...{ memory: this.memory, dmesg: this.dmesg, text_poke: this.text_poke },
			templates: trampolineTemplates(this.#asm.ftrace, this.#asm.ops, this.#gates),
			faults: this.faults,
			kallsyms: this.kallsyms,
			allocTrampoline: (name, size) => {
				return this.faults.should_fail(`alloc_tramp(${name})`) ? 0 : this.areas.allocTrampoline(name, size);
			},
			freeTrampoline: (address) => this.areas.freeTrampoline(address),
			addCallSite: (ip) => this.cpu.addCallSite(ip),
			removeCallSite: (ip) => this.cpu.removeCallSite(ip),
			allocOps: () => this.areas.allocOps(),
			freeOps: (address) => this.areas.freeOps(address),
			synchronize: (what) => synchronize_rcu_tasks(this.sched, what),
		};
	}

	#tracerEnvironment(): ConstructorParameters<typeof FunctionTracer>[1] {
		return {
			ftrace_host_func: this.#gates.address("ftrace_host_func"),
			HZ: this.hz,
			jiffies: () => this.sched.jiffies,
			current: () => this.sched.current,
			onlineCpus: () => this.sched.cpus.filter(({ online }) => online).length,
		};
	}

	#guestEnvironment(): ConstructorParameters<typeof GuestKernel>[0] {
		const { cpu, memory, dmesg, sched, klp, hz } = this;
		return {
			...{ cpu, memory, dmesg, sched, klp, HZ: hz },
			should_fail: (site) => this.faults.should_fail(site),
			call_from_host: label(this.#asm.entry, "call_from_host"),
			host_bottom: label(this.#asm.entry, "host_bottom"),
			current: () => sched.current,
			emptyStack: (task) => this.stacks.emptyStack(task),
			percpu: (id) => percpu(id),
			executed: (count) => {
				sched.instructions += count;
			},
			int3: () => this.text_poke.poke_int3_handler(cpu.state),
			oops: (task, fault, rip) => {
				this.oops(task, fault, rip);
				throw new KlpemuError("GUEST_OOPS", `${task.comm} died in guest code: ${task.oops}`);
			},
			symbol: (address, bare) => this.symbols.sprint_symbol(address, bare),
			kworker: () => this.kworker,
			visit: (point) => this.#visit(point),
			moduleAt: (address) => this.loader.moduleAt(address),
			structOf: (mod) => this.loader.structOf(mod as LoadedModule),
		};
	}

	#loaderEnvironment(): ConstructorParameters<typeof Loader>[0] {
		const { memory, dmesg, ftrace } = this;
		const { heap, calls } = this.guest;
		return {
			...{ memory, dmesg, ftrace, heap, calls, faults: this.faults, kallsyms: this.kallsyms, modules: this.modules },
			klp: this.klp,
			fentry: label(this.#asm.ftrace, "__fentry__"),
			resolve: (symbol) => this.symbols.resolve(symbol),
			nextModule: () => this.areas.nextModule,
			takeModuleArea: (bytes) => void this.areas.takeModuleArea(bytes),
			textChanged: (address, length) => this.cpu.textChanged(address, length),
			synchronize: (what) => synchronize_rcu(this.sched, what),
		};
	}

	// ---- tasks ----

	/** A new task: a child of the shell, as everybody is somebody's child. */
	addTask(spec: NewTask): task_struct {
		return this.fork(this.shell, spec);
	}

	/** A child that is where its parent is (copy_process, klp_copy_process); it starts outside of guest kernel code. */
	fork(parent: task_struct, spec: NewTask): task_struct {
		const { calls, sleepAt, interruptible = false } = spec;
		const program: TaskProgram = { calls, ...(sleepAt && { sleepAt }), interruptible, sleepRounds: 2 };
		const flags = spec.kthread ? PF_KTHREAD : 0;
		const task = this.sched.add(spec.name, { flags, mode: spec.kthread ? "kernel" : "user", program });
		if (spec.cpu !== undefined) task.pinned = spec.cpu;
		if (spec.idle) task.__state = TASK_INTERRUPTIBLE;
		else this.sched.enqueue(task);
		this.klp.klp_copy_process(parent, task);
		this.#visit("klp_copy_process");
		return task;
	}

	/**
	 * Lets a task make one call of `func` instead of its own program, and come back from it. The call's rax; undefined when that
	 * takes more than `rounds` rounds.
	 */
	callOnce(task: task_struct, func: Kaddr, rounds: number): bigint | undefined {
		const { program } = task;
		this.wake(task);
		this.#untilOutside(task, rounds);
		let result: bigint | undefined;
		const call = (caller: task_struct, called: Kaddr, value: bigint) => {
			if (caller === task && called === func) result = value;
		};
		const unsubscribe = this.observe({ call });
		try {
			task.program = { calls: [func], sleepRounds: 1 };
			task.nextCall = 0;
			for (let i = 0; result === undefined && i < rounds; i++) this.round();
			if (result !== undefined) this.#untilOutside(task, rounds);
			return result;
		} finally {
			unsubscribe();
			task.program = program;
		}
	}

	/** Rounds until a task is between two rounds of its program: in user mode, or in its kthread's sleep. */
	#untilOutside(task: task_struct, rounds: number): boolean {
		const inside = () =>
			task.mode === "kernel" && task.stack !== undefined && !(task.kthread && task.__state !== TASK_RUNNING);
		for (let i = 0; inside(); i++) {
			if (i >= rounds) return false;
			this.round();
		}
		return true;
	}

	/** Ends a task as soon as it is outside of guest kernel code. Throws `TASK_STUCK`. */
	exit(task: task_struct): void {
		if (!task.kthread || task.held) this.wake(task);
		if (!this.#untilOutside(task, WAIT_ROUNDS)) {
			throw new KlpemuError("TASK_STUCK", `task '${task.comm}' does not come out of the kernel`);
		}
		this.sched.remove(task);
		this.stacks.release(task);
	}

	/** Ends a sleep, whatever its kind. */
	wake(task: task_struct): void {
		task.held = false;
		task.slept = true;
		if (!this.sched.wake_up_state(task, -1)) this.sched.enqueue(task);
	}

	// ---- time ----

	/** One round: timers, due work, then a slice on every CPU. */
	round(): void {
		this.sched.tick();
		if (this.#jiffies !== undefined) this.memory.setU64(this.#jiffies, BigInt(this.sched.jiffies));
		this.guest.work.tick();
		for (let work = this.#takeWork(); work !== undefined; work = this.#takeWork()) {
			this.kworkerBusy = true;
			try {
				this.#runAs(this.kworker, TASK_IDLE, work.func());
			} finally {
				this.kworkerBusy = false;
			}
		}
		for (const cpu of this.sched.order()) {
			const task = this.sched.pick(cpu);
			this.executor.runSlice(cpu, task, this.sched.slice());
		}
		this.sched.current = this.shell;
	}

	/**
	 * The next work of the kernel itself. They take these locks, and would wait for whoever holds one: not before the work is
	 * through could that one go on.
	 */
	#takeWork() {
		const { klp, ftrace, hotplug } = this;
		const held = klp.klp_mutex.locked || ftrace.ftrace_lock.locked || ftrace.direct.direct_mutex.locked;
		if (this.kworkerBusy || held || hotplug.lock.locked || !this.workqueue.isDue(this.sched.jiffies)) return undefined;
		return this.sched.cpuForHost() === undefined ? undefined : this.workqueue.take(this.sched.jiffies);
	}

	/** Rounds until no transition is in progress and no work is left; false when `max` were not enough. */
	settle(max: number): boolean {
		for (let i = 0; i <= max; i++) {
			const busy = this.klp.inTransition !== undefined || this.workqueue.pending.length > 0;
			if (!busy) return true;
			this.round();
		}
		return false;
	}

	/** Kernel code in TypeScript is in progress: the machine cannot be saved. */
	get busy(): boolean {
		return this.running > 0;
	}

	/** Puts a process of the kernel's own on a CPU, as soon as one can be had: on CPU 0 if possible. */
	#schedule(task: task_struct): void {
		let cpu = this.sched.cpuForHost();
		for (let i = 0; cpu === undefined; cpu = this.sched.cpuForHost()) {
			if (i++ > WAIT_ROUNDS)
				throw new KlpemuError("DEADLOCK", `${task.comm} gets no CPU: all tasks stay in the kernel`);
			this.round();
		}
		task.__state = TASK_RUNNING;
		this.sched.switch_to(cpu, task);
		this.sched.current = task;
	}

	/** Runs kernel code as `task`, to its end; the task sleeps in `sleepState` afterwards. */
	#runAs<T>(task: task_struct, sleepState: number, code: Kernel<T>): T {
		const block = (wait: Wait) => {
			task.__state = TASK_UNINTERRUPTIBLE;
			this.sched.deschedule(task);
			for (let i = 0; !wait.ready(); i++) {
				if (i > WAIT_ROUNDS) throw new KlpemuError("DEADLOCK", `${task.comm} waits for ever: ${wait.label}`);
				this.round();
			}
			this.#schedule(task);
		};
		const { mode } = task;
		this.running++;
		try {
			this.#schedule(task);
			return runStraight(code, (label) => this.#visit(label), block);
		} finally {
			// Also when the code was given up in the middle, perhaps of guest code.
			this.running--;
			task.mode = mode;
			if (task.__state !== TASK_DEAD) {
				task.__state = sleepState;
				this.sched.deschedule(task);
			}
		}
	}

	/** Runs kernel code as a system call of the administrator, who then leaves the kernel. */
	runAsShell<T>(code: Kernel<T>): T {
		const { klp, shell } = this;
		return this.#runAs(
			shell,
			TASK_INTERRUPTIBLE,
			(function* () {
				const result = yield* code;
				yield* klp.klp_update_patch_state(shell);
				return result;
			})(),
		);
	}

	/** A gate has stopped the Cpu: what it means for the task. */
	stoppedAt(name: string, task: task_struct): Continuation {
		const visit = (label: string) => this.#visit(label);
		const sleeps = !COND_RESCHED.includes(name) && !this.guest.has(name);
		if (sleeps) switchedVoluntarily(task);
		switch (name) {
			case "exit_to_user_mode":
				// exit_to_user_mode_loop(): the place where user tasks switch.
				runStraight(this.klp.klp_update_patch_state(task), visit);
				task.thread_flags &= ~TIF_NOTIFY_SIGNAL;
				task.mode = "user";
				return "end-slice";
			case "do_idle":
				if (this.sched.leaveIdle(task)) runStraight(this.klp.klp_update_patch_state(task), visit);
				return "end-slice";
			case "cond_resched":
			case "__cond_resched":
				if (this.klp.klp_sched_try_switch_key) runStraight(this.klp.__klp_sched_try_switch(), visit);
				return this.sched.cond_resched(task) ? "end-slice" : "go-on";
			case "kthread_wait":
				if (task.program.next !== undefined) return this.#kworkerSleeps(task);
				this.sched.set_timer(task, this.sched.jiffies + (task.program.sleepRounds ?? 1));
				task.__state = TASK_INTERRUPTIBLE;
				this.sched.deschedule(task);
				return "end-slice";
			case "schedule":
				// Guest code has no set_current_state(): it sleeps until somebody wakes it.
				task.__state = TASK_UNINTERRUPTIBLE;
				this.sched.deschedule(task);
				return "end-slice";
			default:
				return this.guest.enter(name, task);
		}
	}

	/** A kworker has nothing to do, unless some work came just now. */
	#kworkerSleeps(task: task_struct): Continuation {
		if (this.guest.work.hasWork) return "go-on";
		task.__state = TASK_IDLE;
		this.sched.deschedule(task);
		return "end-slice";
	}

	oops(task: task_struct, fault: Fault, rip: bigint): void {
		const where = this.symbolize(Number(BigInt.asIntN(32, rip)));
		const what =
			fault.kind === "page-fault"
				? `BUG: unable to handle page fault for address: ${hex(fault.address ?? 0n)}`
				: `Oops: ${fault.kind}`;
		this.#print.pr_warn(what);
		this.#print.pr_warn(`RIP: 0010:${where}${fault.detail ? ` (${fault.detail})` : ""}`);
		task.oops = `${what} at ${where}`;
		for (const observer of this.observers) observer.oops?.(task, fault, rip);
		this.sched.remove(task);
		this.hostTasks.replace(task);
	}

	// ---- the administrator ----

	/** Loads a module and runs its init, or enables what `patchOf` makes. See `Loader.load_module`. */
	insmod(name: string, objects: readonly ElfObject[], options: InsmodOptions = {}): number {
		return this.runAsShell(this.load_module(name, objects, options));
	}

	/** What {@link insmod} runs. */
	load_module(name: string, objects: readonly ElfObject[], options: InsmodOptions = {}): Kernel<number> {
		return this.loader.load_module(name, objects, options);
	}

	/** Unloads a module: -ENOENT when there is none, -EAGAIN (-EWOULDBLOCK) while it is in use. */
	rmmod(name: string): number {
		return this.runAsShell(this.delete_module(name));
	}

	/** What {@link rmmod} runs. */
	delete_module(name: string): Kernel<number> {
		return this.loader.delete_module(name);
	}

	/** Writes to a file: 0 or a negative errno. */
	write(path: string, value: string): number {
		return this.runAsShell(this.files.write(path, value));
	}

	/** The text of a file, or a negative errno. */
	read(path: string): string | number {
		return this.runAsShell(this.files.read(path));
	}

	/** Writes to a file below /sys/kernel/livepatch: 0 or a negative errno. */
	writeSysfs(path: string, value: string): number {
		return this.write(`/sys/kernel/livepatch/${path}`, value);
	}

	/** Frees what the Cpu holds outside JavaScript. */
	close(): void {
		this.cpu.close();
	}
}

/** The per-CPU area of a CPU. */
function percpu(id: number): Kaddr {
	return (LAYOUT.percpu + id * PAGE_SIZE) | 0;
}
