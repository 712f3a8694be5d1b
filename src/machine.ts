import { GuestAreas, LAYOUT } from "./areas.js";
import { type Cpu, type Fault, GatePage } from "./cpu/index.js";
import { type ElfObject, type Image, linkImage } from "./elf/index.js";
import { KlpemuError } from "./errors.js";
import { Ftrace, TextPoke } from "./ftrace/index.js";
import { declareGates } from "./gates.js";
import { Dmesg, EAGAIN, EEXIST, ENOENT, type Kernel, Printer, place, runStraight, type Wait } from "./kernel/index.js";
import { type Design, Klp, type klp_patch, ModuleNotifier, type module, Sysfs } from "./klp/index.js";
import { hex, type Kaddr, Memory, PAGE_SIZE, PERM } from "./memory/index.js";
import {
	type Continuation,
	Executor,
	PF_KTHREAD,
	Random,
	Sched,
	type StackTrace,
	stack_trace_save_tsk_reliable,
	TASK_IDLE,
	TASK_INTERRUPTIBLE,
	TASK_RUNNING,
	TASK_UNINTERRUPTIBLE,
	type TaskProgram,
	THREAD_SIZE,
	TIF_NOTIFY_SIGNAL,
	type task_struct,
	Workqueue,
} from "./sched/index.js";
import { Symbols } from "./symbols.js";
import { type Assembled, assemble, type EngineAssembly } from "./toolchain/index.js";

/** Rounds that somebody may wait for somebody else, before that is called a deadlock. */
const WAIT_ROUNDS = 100_000;

type AssembledEngine = Readonly<Record<keyof EngineAssembly, Assembled>>;

export interface MachineOptions {
	readonly design: Design;
	/** Makes the processor that runs the guest. */
	readonly createCpu: (memory: Memory) => Cpu | Promise<Cpu>;
	readonly vmlinux: readonly ElfObject[];
	/** The assembly of the engine itself: asm/entry_64.S, asm/ftrace_64.S and asm/ftrace_ops.S. */
	readonly assembly: EngineAssembly;
	readonly cpus: number;
	readonly seed: bigint | number;
	readonly hz: number;
	readonly memoryBytes: number;
}

/** A loaded module. */
export interface LoadedModule extends module {
	readonly image: Image;
	/** MODULE_STATE_LIVE: its functions can be called. Not while it comes or goes. */
	live: boolean;
	/** What its init enabled. */
	patch: klp_patch | undefined;
	/** Modules whose symbols it uses: they cannot go before it. */
	readonly needs: ReadonlySet<LoadedModule>;
}

export interface NewTask {
	readonly name: string;
	readonly kthread: boolean;
	readonly calls: readonly Kaddr[];
	readonly sleepAt?: (() => readonly Kaddr[]) | undefined;
	/** The CPU it is bound to. */
	readonly cpu?: number | undefined;
	/** Asleep until somebody wakes it. */
	readonly idle?: boolean;
}

/**
 * The whole machine: guest memory, a Cpu, tasks, ftrace and livepatch, and the administrator who acts on them. It advances in
 * rounds: in each, every emulated CPU runs one slice of one task. What the administrator does (insmod, writes to sysfs) runs
 * on CPU 0 as the task `shell`, at once.
 */
export class Machine {
	readonly memory: Memory;
	readonly cpu: Cpu;
	readonly dmesg = new Dmesg();
	readonly sched: Sched;
	readonly executor: Executor;
	readonly ftrace: Ftrace;
	readonly klp: Klp;
	readonly sysfs: Sysfs;
	readonly hz: number;
	readonly modules = new Map<string, LoadedModule>();
	readonly vmlinux: Image;
	/** The administrator's process. */
	readonly shell: task_struct;

	/** Called at every point where somebody else could look: after each step of kernel code that matters to others. */
	onPoint: ((label: string) => void) | undefined = undefined;
	/** Called when a task dies of what it did. */
	onOops: ((task: task_struct, fault: Fault, rip: bigint) => void) | undefined = undefined;
	/** Called when a task has made a call of its program: function and result. */
	onCall: ((task: task_struct, func: Kaddr, result: bigint) => void) | undefined = undefined;

	readonly #gates: GatePage;
	/** The fields that follow are public for the explorer, which saves and restores all there is. */
	readonly text_poke: TextPoke;
	readonly workqueue = new Workqueue();
	readonly kworker: task_struct;
	readonly #notifier: ModuleNotifier;
	readonly #asm: AssembledEngine;
	readonly #print: Printer;
	readonly areas: GuestAreas;
	readonly #symbols: Symbols;
	#tainted = false;
	/** Kernel code of the shell or a kworker waits for others. */
	#waiting = false;

	static async create(options: MachineOptions): Promise<Machine> {
		const memory = new Memory({ bytes: options.memoryBytes });
		const cpu = await options.createCpu(memory);
		const gates = new GatePage(memory, cpu, LAYOUT.gates);
		const machine: { it?: Machine } = {};
		declareGates(gates, () => machine.it!);
		const areas = new GuestAreas(memory);
		const externals = { ...Object.fromEntries(gates.entries()), function_trace_op: LAYOUT.data };
		const asm = {
			entry: await assemble(options.assembly.entry, "asm/entry_64.S", LAYOUT.entry, externals),
			ftrace: await assemble(options.assembly.ftrace, "asm/ftrace_64.S", LAYOUT.ftrace, externals),
			ops: await assemble(options.assembly.ops, "asm/ftrace_ops.S", LAYOUT.ftraceOps, externals),
		};
		machine.it = new Machine(options, areas, cpu, gates, asm);
		return machine.it;
	}

	private constructor(options: MachineOptions, areas: GuestAreas, cpu: Cpu, gates: GatePage, asm: AssembledEngine) {
		const { memory } = cpu;
		this.memory = memory;
		this.cpu = cpu;
		this.areas = areas;
		this.hz = options.hz;
		this.#gates = gates;
		this.#asm = asm;
		this.#print = new Printer(this.dmesg, "");
		for (const code of [asm.entry, asm.ftrace, asm.ops]) this.#mapCode(code);
		memory.map("percpu", LAYOUT.percpu, options.cpus * PAGE_SIZE, PERM.READ | PERM.WRITE);

		this.sched = new Sched(options.cpus, new Random(options.seed));
		this.text_poke = new TextPoke(memory, (address, length) => cpu.textChanged(address, length));
		this.executor = new Executor(cpu, {
			stacks: { base: LAYOUT.stacks, end: LAYOUT.stacksEnd },
			entry: {
				user: label(asm.entry, "entry_SYSCALL_64"),
				kthread: label(asm.entry, "ret_from_fork_asm"),
				idle: label(asm.entry, "secondary_startup_64"),
			},
			percpu: (id) => (LAYOUT.percpu + id * PAGE_SIZE) | 0,
			gate: (name, task) => this.stoppedAt(name, task),
			int3: () => this.text_poke.poke_int3_handler(cpu.state),
			oops: (task, fault, rip) => this.oops(task, fault, rip),
			sleeping: (task) => {
				task.held = true;
				this.sched.deschedule(task);
			},
		});
		this.shell = this.sched.add("shell", { mode: "host" });
		this.kworker = this.sched.add("kworker/0:1", { mode: "host", flags: PF_KTHREAD });
		this.shell.__state = TASK_INTERRUPTIBLE;
		this.kworker.__state = TASK_IDLE;
		this.executor.current = this.shell;

		const images = () => [
			...(this.vmlinux ? [this.vmlinux] : []),
			...[...this.modules.values()].map(({ image }) => image),
		];
		const trampoline = (ip: Kaddr) => this.ftrace.trampolines.containing(ip);
		this.#symbols = new Symbols({ gates, ftrace: asm.ftrace, assembly: [asm.entry, asm.ops], images, trampoline });
		this.ftrace = new Ftrace(this.#ftraceEnvironment());
		this.klp = new Klp(this.#klpEnvironment(), options.design);
		this.sysfs = new Sysfs(this.klp);
		this.#notifier = new ModuleNotifier(this.klp);
		this.vmlinux = this.#link("vmlinux", options.vmlinux, LAYOUT.vmlinux);
	}

	// ---- guest code ----

	#mapCode(code: Assembled): void {
		const length = Math.ceil(code.bytes.length / PAGE_SIZE) * PAGE_SIZE;
		this.memory.map("entry text", code.base, length, PERM.READ | PERM.EXEC);
		this.memory.write(code.base, code.bytes);
		this.cpu.textChanged(code.base, code.bytes.length);
	}

	/** Links objects into memory and takes over their fentry sites. */
	#link(name: string, objects: readonly ElfObject[], base: Kaddr, needs = new Set<LoadedModule>()): Image {
		const fentry = label(this.#asm.ftrace, "__fentry__");
		const resolve = (symbol: string) => {
			const address = this.#symbols.resolve(symbol);
			if (address === undefined) return undefined;
			for (const mod of this.modules.values()) if (mod.image.contains(address)) needs.add(mod);
			return address;
		};
		const image = linkImage({ name, objects, base, memory: this.memory, resolve });
		this.ftrace.ftrace_process_locs(name, image.mcountLocs, fentry);
		for (const region of image.regions) this.cpu.textChanged(region.address, region.length);
		return image;
	}

	/** Symbols called `name` in vmlinux (`object` undefined) or a module, in kallsyms order. */
	kallsyms(object: string | undefined, name: string): readonly { readonly address: Kaddr; readonly size: number }[] {
		const image = object === undefined ? this.vmlinux : this.modules.get(object)?.image;
		return image?.lookup(name) ?? [];
	}

	/** `funcA+0x4`, for people. */
	symbolize(address: Kaddr): string {
		return this.#symbols.symbolize(address);
	}

	// ---- environments ----

	#ftraceEnvironment(): ConstructorParameters<typeof Ftrace>[0] {
		const at = (name: string) => label(this.#asm.ftrace, name);
		return {
			memory: this.memory,
			dmesg: this.dmesg,
			text_poke: this.text_poke,
			templates: {
				ftrace_stub: at("ftrace_stub"),
				ftrace_caller: at("ftrace_caller"),
				ftrace_caller_op_ptr: at("ftrace_caller_op_ptr"),
				ftrace_call: at("ftrace_call"),
				ftrace_caller_end: at("ftrace_caller_end"),
				ftrace_regs_caller: at("ftrace_regs_caller"),
				ftrace_regs_caller_op_ptr: at("ftrace_regs_caller_op_ptr"),
				ftrace_regs_call: at("ftrace_regs_call"),
				ftrace_regs_caller_jmp: at("ftrace_regs_caller_jmp"),
				ftrace_regs_caller_end: at("ftrace_regs_caller_end"),
				function_trace_op: LAYOUT.data,
				ftrace_ops_list_func: label(this.#asm.ops, "ftrace_ops_list_func"),
				ftrace_ops_assist_func: label(this.#asm.ops, "ftrace_ops_assist_func"),
				call_direct_funcs: this.#gates.find("call_direct_funcs")!,
			},
			allocTrampoline: (name, size) => this.areas.allocTrampoline(name, size),
			freeTrampoline: (address) => this.areas.freeTrampoline(address),
			kallsyms_lookup_size_offset: (address) => this.#symbols.kallsyms_lookup_size_offset(address),
			addCallSite: (ip) => this.cpu.addCallSite(ip),
			removeCallSite: (ip) => this.cpu.removeCallSite(ip),
			allocOps: () => this.areas.allocOps(),
			freeOps: (address) => this.areas.freeOps(address),
			synchronize: (what) => this.#synchronizeTasks(what),
		};
	}

	#klpEnvironment(): ConstructorParameters<typeof Klp>[0] {
		const { sched } = this;
		return {
			memory: this.memory,
			dmesg: this.dmesg,
			ftrace: this.ftrace,
			klp_ftrace_handler_address: this.#gates.find("klp_ftrace_handler")!,
			HZ: this.hz,
			opsByAddress: (address) => this.ftrace.opsByAddress.get(address),
			current: () => this.executor.current,
			tasks: () => [...sched.all()],
			processes: () => [...sched.tasks],
			idleTasks: () => sched.cpus.map((cpu) => ({ task: cpu.idle, cpu: cpu.id, online: cpu.online })),
			stack_trace_save_tsk_reliable: (task) => this.stackTrace(task),
			wake_up_state: (task, states) => void sched.wake_up_state(task, states),
			set_notify_signal: (task) => sched.set_notify_signal(task),
			wake_up_if_idle: () => {},
			schedule_work: (work) => this.workqueue.schedule_work(work),
			schedule_delayed_work: (work, delay) => this.workqueue.schedule_delayed_work(work, sched.jiffies + delay),
			synchronize: (what) => this.#synchronize(what),
			find_module: (name) => this.modules.get(name),
			kallsyms: (object, symbol) => this.kallsyms(object, symbol),
			kallsyms_lookup_size_offset: (address) => this.#symbols.kallsyms_lookup_size_offset(address),
		};
	}

	/** Every CPU must come out of code that runs with preemption disabled: the handlers, and klp_update_patch_state(). */
	*#synchronize(what: string): Kernel<void> {
		const atomic = (task: task_struct) => task.trace_recursion !== 0 || task.preempt_count !== 0;
		yield { label: what, ready: () => ![...this.sched.all()].some(atomic) };
	}

	/**
	 * synchronize_rcu_tasks(): every task that is in the kernel, running or preempted (perhaps on a trampoline), must sleep or
	 * leave the kernel once.
	 */
	*#synchronizeTasks(what: string): Kernel<void> {
		const outside = (task: task_struct) => task.__state !== TASK_RUNNING || task.held || task.mode !== "kernel";
		for (const task of [...this.sched.tasks]) {
			yield place(what, task.comm);
			task.rcu_tasks_holdout = !outside(task);
		}
		yield* this.#synchronize(what);
		yield { label: what, ready: () => this.sched.tasks.every((task) => !task.rcu_tasks_holdout || outside(task)) };
	}

	// ---- tasks ----

	addTask(spec: NewTask): task_struct {
		const program: TaskProgram = { calls: spec.calls, ...(spec.sleepAt && { sleepAt: spec.sleepAt }), sleepRounds: 2 };
		const flags = spec.kthread ? PF_KTHREAD : 0;
		const task = this.sched.add(spec.name, { flags, mode: spec.kthread ? "kernel" : "user", program });
		if (spec.cpu !== undefined) task.pinned = spec.cpu;
		if (spec.idle) task.__state = TASK_INTERRUPTIBLE;
		else this.sched.enqueue(task);
		return task;
	}

	/** A child that is where its parent is (copy_process, klp_copy_process); it starts in user mode. */
	fork(parent: task_struct, spec: NewTask): task_struct {
		const child = this.addTask(spec);
		this.klp.transition.klp_copy_process(parent, child);
		this.onPoint?.("klp_copy_process");
		return child;
	}

	/**
	 * Lets a task make one call of `func` instead of its own program, and come back from it. The call's rax; undefined when that
	 * takes more than `rounds` rounds.
	 */
	callOnce(task: task_struct, func: Kaddr, rounds: number): bigint | undefined {
		const { program } = task;
		this.wake(task);
		this.#untilOutside(task, rounds);
		task.program = { calls: [func], sleepRounds: 1 };
		task.nextCall = 0;
		let result: bigint | undefined;
		const { onCall } = this;
		this.onCall = (caller, called, value) => {
			onCall?.(caller, called, value);
			if (caller === task && called === func) result = value;
		};
		for (let i = 0; result === undefined && i < rounds; i++) this.round();
		this.onCall = onCall;
		if (result !== undefined) this.#untilOutside(task, rounds);
		task.program = program;
		return result;
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
		this.executor.release(task);
	}

	/** Ends a sleep, whatever its kind. */
	wake(task: task_struct): void {
		task.held = false;
		task.slept = true;
		if (!this.sched.wake_up_state(task, -1)) this.sched.enqueue(task);
	}

	/** Addresses on a task's stack, innermost first; undefined when it cannot be walked reliably. */
	stackTrace(task: task_struct): readonly Kaddr[] | undefined {
		const trace = this.walkStack(task);
		return trace.reliable ? trace.entries : undefined;
	}

	/** The same with what was found before the walk became unreliable, and why. */
	walkStack(task: task_struct): StackTrace {
		if (task.mode !== "kernel" || task.stack === undefined) return { reliable: true, entries: [] };
		const low = Number(BigInt.asIntN(32, task.stack.address));
		const high = (low + THREAD_SIZE) | 0;
		const findRow = (ip: Kaddr) => this.#symbols.findRow(ip);
		return stack_trace_save_tsk_reliable(task.regs, { memory: this.memory, low, high, findRow });
	}

	// ---- time ----

	/** One round: timers, due work, then a slice on every CPU. */
	round(): void {
		this.sched.tick();
		// While kernel code waits, whoever would take klp_mutex now would wait for it.
		for (let work = this.#takeWork(); work !== undefined; work = this.#takeWork()) {
			this.#runAs(this.kworker, TASK_IDLE, work.func());
		}
		for (const cpu of this.sched.order()) {
			const task = this.sched.pick(cpu);
			this.executor.runSlice(cpu, task, this.sched.slice());
		}
		this.executor.current = this.shell;
	}

	#takeWork() {
		return this.#waiting ? undefined : this.workqueue.take(this.sched.jiffies);
	}

	/** Rounds until no transition is in progress and no work is left; false when `max` were not enough. */
	settle(max: number): boolean {
		for (let i = 0; i <= max; i++) {
			const busy = this.klp.transition.klp_transition_patch !== undefined || this.workqueue.pending.length > 0;
			if (!busy) return true;
			this.round();
		}
		return false;
	}

	/** Runs kernel code as `task` on CPU 0, to its end; the task sleeps in `sleepState` afterwards. */
	#runAs<T>(task: task_struct, sleepState: number, code: Kernel<T>): T {
		task.__state = TASK_RUNNING;
		this.sched.switch_to(this.sched.cpus[0]!, task);
		this.executor.current = task;
		const block = (wait: Wait) => {
			task.__state = TASK_UNINTERRUPTIBLE;
			this.sched.deschedule(task);
			this.#waiting = true;
			for (let i = 0; !wait.ready(); i++) {
				if (i > WAIT_ROUNDS) throw new KlpemuError("DEADLOCK", `${task.comm} waits for ever: ${wait.label}`);
				this.round();
			}
			this.#waiting = false;
			task.__state = TASK_RUNNING;
			this.sched.switch_to(this.sched.cpus[0]!, task);
			this.executor.current = task;
		};
		const result = runStraight(code, (label) => this.onPoint?.(label), block);
		task.__state = sleepState;
		this.sched.deschedule(task);
		return result;
	}

	/** Runs kernel code as a system call of the administrator, who then leaves the kernel. */
	runAsShell<T>(code: Kernel<T>): T {
		const { klp, shell } = this;
		return this.#runAs(
			shell,
			TASK_INTERRUPTIBLE,
			(function* () {
				const result = yield* code;
				yield* klp.transition.klp_update_patch_state(shell);
				return result;
			})(),
		);
	}

	/** A gate has stopped the Cpu: what it means for the task. */
	stoppedAt(name: string, task: task_struct): Continuation {
		const visit = (point: string) => this.onPoint?.(point);
		if (name !== "cond_resched") {
			task.nvcsw++;
			task.rcu_tasks_holdout = false;
		}
		switch (name) {
			case "exit_to_user_mode":
				// exit_to_user_mode_loop(): the place where user tasks switch.
				runStraight(this.klp.transition.klp_update_patch_state(task), visit);
				task.thread_flags &= ~TIF_NOTIFY_SIGNAL;
				task.mode = "user";
				return "end-slice";
			case "do_idle":
				runStraight(this.klp.transition.klp_update_patch_state(task), visit);
				return "end-slice";
			case "cond_resched":
				runStraight(this.klp.transition.__klp_sched_try_switch(), visit);
				return "go-on";
			case "kthread_wait":
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
				throw new Error(`gate ${name} has stopped the Cpu, and nobody knows why`);
		}
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
		this.onOops?.(task, fault, rip);
		this.sched.remove(task);
	}

	// ---- the administrator ----

	/**
	 * Loads a module. `patchOf`: makes the klp_patch that its init enables. 0 or a negative errno; a module that was refused is
	 * gone again, as is one with symbols that nobody defines (-ENOENT). Throws what else {@link linkImage} throws.
	 */
	insmod(name: string, objects: readonly ElfObject[], patchOf?: (mod: LoadedModule) => klp_patch): number {
		return this.runAsShell(this.load_module(name, objects, patchOf));
	}

	/** What {@link insmod} runs. */
	*load_module(
		name: string,
		objects: readonly ElfObject[],
		patchOf?: (mod: LoadedModule) => klp_patch,
	): Kernel<number> {
		if (this.modules.has(name)) return -EEXIST;
		const needs = new Set<LoadedModule>();
		let image: Image;
		try {
			image = this.#link(name, objects, this.areas.nextModule, needs);
		} catch (error) {
			if (!(error instanceof KlpemuError) || error.code !== "ELF_UNDEFINED_SYMBOL") throw error;
			this.#print.pr_warn(`${name}: ${error.message}`);
			return -ENOENT;
		}
		this.areas.takeModuleArea(image.end - image.base);
		const mod: LoadedModule = {
			name,
			image,
			livepatch: patchOf !== undefined,
			klp_alive: false,
			refcount: 0,
			live: false,
			patch: undefined,
			needs,
			symbols: (symbol) => image.lookup(symbol),
		};
		this.modules.set(name, mod);
		for (const needed of needs) needed.refcount++;
		if (patchOf !== undefined && !this.#tainted) {
			this.#tainted = true;
			this.#print.pr_notice(`${name}: tainting kernel with TAINT_LIVEPATCH`);
		}
		const ret = yield* this.#initModule(mod, patchOf);
		if (ret !== 0) yield* this.#free_module(mod);
		return ret;
	}

	*#initModule(mod: LoadedModule, patchOf: ((mod: LoadedModule) => klp_patch) | undefined): Kernel<number> {
		yield* this.ftrace.ftrace_module_enable(mod.image.mcountLocs);
		const ret = yield* this.#notifier.klp_module_coming(mod);
		mod.live = ret === 0;
		if (ret !== 0 || patchOf === undefined) return ret;
		mod.patch = patchOf(mod);
		this.sysfs.add(mod.patch);
		return yield* this.klp.klp_enable_patch(mod.patch);
	}

	/** Unloads a module: -ENOENT when there is none, -EWOULDBLOCK (11) while it is in use. */
	rmmod(name: string): number {
		return this.runAsShell(this.delete_module(name));
	}

	/** What {@link rmmod} runs. */
	*delete_module(name: string): Kernel<number> {
		const mod = this.modules.get(name);
		if (mod === undefined) return -ENOENT;
		if (mod.refcount !== 0) return -EAGAIN;
		mod.live = false;
		yield* this.#notifier.klp_module_going(mod);
		yield* this.#free_module(mod);
		return 0;
	}

	*#free_module(mod: LoadedModule): Kernel<void> {
		// A handler may still stand on a klp_func of the module.
		yield* this.#synchronize("free_module: synchronize_rcu");
		this.ftrace.ftrace_release(mod.image.mcountLocs);
		for (const needed of mod.needs) needed.refcount--;
		const regions = [...mod.image.regions];
		this.modules.delete(mod.name);
		mod.image.unload();
		for (const region of regions) this.cpu.textChanged(region.address, region.length);
		yield `free_module(${mod.name})`;
	}

	/** Writes to a file below /sys/kernel/livepatch: 0 or a negative errno. */
	writeSysfs(path: string, value: string): number {
		return this.runAsShell(this.sysfs.write(path, value));
	}

	/** Frees what the Cpu holds outside JavaScript. */
	close(): void {
		this.cpu.close();
	}
}

function label(code: Assembled, name: string): Kaddr {
	const address = code.symbols.get(name);
	if (address === undefined) throw new KlpemuError("ASM_LABEL_MISSING", `the assembly has no label '${name}'`);
	return address;
}
