import { declareState, KlpemuError } from "../../base/index.js";
import type { Cpu, GatePage } from "../../cpu/index.js";
import { type Kaddr, toU64 } from "../../memory/index.js";
import type { Ftrace, Symbols, TextPoke } from "../ftrace/index.js";
import {
	type CallLabels,
	type GuestCalls,
	GuestMemory,
	type Heap,
	type HostFunctions,
	Refcounts,
	Slab,
} from "../guest/index.js";
import {
	type CoreCode,
	type DesignKeys,
	type HandlerPlace,
	type HandlerStep,
	type Implementation,
	type KlpObserver,
	klp_func,
	klp_object,
	klp_patch,
	type Livepatch,
	type LivepatchSysfs,
	type module,
	type StackEntry,
} from "../klp/index.js";
import {
	type Dmesg,
	detail,
	ENOMEM,
	type FaultInjection,
	type Kallsyms,
	type Kernel,
	type KernelLayout,
	runStraight,
} from "../lib/index.js";
import { HEADERS_LAYOUT, type LoadedModule } from "../module/index.js";
import type {
	CpuHotplug,
	HostTasks,
	PerCpu,
	Sched,
	task_struct,
	Unwinder,
	Workqueue,
	work_struct,
} from "../sched/index.js";
import type { CoreImage } from "./core-image.js";
import { CoreEvents } from "./events.js";
import {
	CoreFtrace,
	CoreKobjects,
	CoreMemory,
	CoreScheduler,
	moduleFunctions,
	type Output,
	SHARED,
	textFunctions,
	workFunctions,
} from "./externals/index.js";
import { type LinkedCore, PREFIX } from "./link.js";
import { makePatch } from "./make-patch.js";
import type { KernelCore } from "./object.js";
import { Patches } from "./patches.js";
import { copyModuleElf, type RelocationArguments, relocationFunctions } from "./relocations.js";
import { Scratch } from "./scratch.js";
import { CoreSysfs } from "./sysfs.js";
import { CoreTasks } from "./tasks.js";
import { Views } from "./views.js";

/** Place of names of symbols in the scratch page, behind what looks put there. */
const NAMES = 3072;

export interface CompiledParts {
	readonly object: KernelCore;
	readonly linked: LinkedCore;
	readonly cpu: Cpu;
	/** Where the scratch and the task_structs go. */
	readonly areas: Readonly<Record<"coreScratch" | "tasks", Kaddr>>;
	readonly labels: CallLabels;
	/** Jiffies in a second. */
	readonly hz: number;
	readonly dmesg: Dmesg;
	readonly faults: FaultInjection;
	readonly observers: Iterable<KlpObserver>;
	readonly sched: Sched;
	readonly percpu: PerCpu;
	readonly hostTasks: HostTasks;
	readonly hotplug: CpuHotplug;
	readonly workqueue: Workqueue;
	readonly unwinder: Unwinder;
	readonly kallsyms: Kallsyms;
	readonly symbols: Symbols;
	readonly ftrace: Ftrace;
	readonly text_poke: TextPoke;
	readonly heap: Heap;
	readonly calls: GuestCalls;
	readonly modules: ReadonlyMap<string, LoadedModule>;
	readonly structOf: (mod: LoadedModule) => Kaddr;
	readonly moduleAt: (address: Kaddr) => LoadedModule | undefined;
	readonly output: Output;
	/** Kernel functions for guest code, of which the core uses those in SHARED. */
	readonly exports: () => readonly HostFunctions[];
	/** The keys of the design that this C follows: mainline's. */
	readonly design: DesignKeys & { readonly title: string };
}

/** The kernel's own livepatch core: kernel/livepatch as compiled C, in guest memory. */
export class CompiledLivepatch implements Livepatch {
	static readonly state = declareState("CompiledLivepatch", {
		fields: ["scheduler", "ftrace", "kobjects"],
		unkeyed: ["tasks", "events", "memory"],
	});

	readonly design: DesignKeys & { readonly title: string };
	readonly compiledFrom: string;
	readonly sysfs: LivepatchSysfs;
	readonly core: CoreImage;
	readonly klp_ftrace_handler_address: Kaddr;
	readonly klp_mutex: { readonly locked: boolean };
	readonly code: CoreCode;
	readonly handlerRules = undefined;
	readonly #parts: CompiledParts;
	readonly #memory: GuestMemory;
	readonly #patches: Patches;
	readonly #views: Views;
	private readonly tasks: CoreTasks;
	private readonly events: CoreEvents;
	private readonly scheduler: CoreScheduler;
	private readonly ftrace: CoreFtrace;
	private readonly kobjects: CoreKobjects;
	private readonly memory: CoreMemory;
	/** The kernel functions that the core calls. */
	readonly gates: GatePage;
	readonly #externals: readonly HostFunctions[];

	/** Throws `CORE_SYMBOL`, `CORE_LAYOUT`. */
	constructor(parts: CompiledParts) {
		const { object, cpu, areas, labels, heap, sched, symbols, calls, workqueue, faults, dmesg, output } = parts;
		const { layout } = object;
		const memory = new GuestMemory(cpu.memory);
		const slab = new Slab(heap, faults, sched);
		this.#parts = parts;
		this.#memory = memory;
		this.design = parts.design;
		this.compiledFrom = object.info.release;

		const scratch = new Scratch({ cpu, labels, heapCheck: calls.heapCheck, base: areas.coreScratch });
		const gfpZero = layout.constant("__GFP_ZERO");
		this.memory = new CoreMemory({ memory, slab, heap, sched, workqueue, gfpZero });
		this.scheduler = new CoreScheduler({
			...parts,
			memory,
			core: () => this.core,
			taskAt: (address) => this.tasks.at(address),
		});
		this.ftrace = new CoreFtrace(memory, layout, parts.ftrace, symbols);
		const format = output.format.bind(output);
		const refcounts = new Refcounts(memory, heap, dmesg);
		this.kobjects = new CoreKobjects({ ...parts, memory, layout, slab, refcounts, format });
		this.#externals = [
			this.memory.functions(),
			textFunctions(memory, layout, dmesg, output),
			this.scheduler.functions(),
			workFunctions({ memory, layout, sched, workqueue, symbols, calls, hz: parts.hz }),
			this.ftrace.functions(),
			relocationFunctions(memory, parts.text_poke, dmesg),
			moduleFunctions({ ...parts, memory, nameBuffer: (scratch.page + NAMES) | 0 }),
			this.kobjects.functions(),
		];

		const { core, gates } = parts.linked;
		this.core = core;
		this.gates = gates;
		symbols.addGates(gates);
		this.tasks = new CoreTasks({ core: this.core, sched, percpu: parts.percpu, base: areas.tasks });
		const tell = (what: string) => {
			for (const observer of parts.observers) observer.invalidRead?.(what);
		};
		const patches = new Patches(this.core, symbols, this.ftrace, tell);
		this.#patches = patches;
		const task = this.tasks.allocate("scratch");
		this.#views = new Views({ core: this.core, patches, scratch, observers: parts.observers, task });
		this.klp_ftrace_handler_address = this.core.address("klp_ftrace_handler");
		const mutex = (this.core.address("klp_mutex") + layout.offset("mutex.owner")) | 0;
		this.klp_mutex = {
			get locked() {
				return memory.u64(mutex) !== 0n;
			},
		};
		this.sysfs = new CoreSysfs(this.kobjects, scratch, cpu.memory, mutex, tell);
		const wordsOf = (one: task_struct) => this.tasks.wordsOf(one);
		this.events = new CoreEvents({ ...parts, patches, wordsOf, describe: (patch) => this.#describe(patch) });
		this.code = this.#codeOf();
	}

	/** The task whose task_struct is at an address. */
	taskAt(address: Kaddr): task_struct | undefined {
		return this.tasks.at(address);
	}

	structOf(task: task_struct): Kaddr {
		return this.tasks.address(task);
	}

	/** See {@link code}. */
	#codeOf(): CoreCode {
		const { tasks, events, core } = this;
		const { image, memory } = core;
		const lock = core.address("tasklist_lock");
		return {
			contains: (ip) => image.contains(ip),
			atomic: [core.address("task_call_func")],
			taskField: (address) => tasks.fieldAt(address),
			transitionWords: ["klp_transition_patch", "klp_target_state"].map((name) => core.address(name)),
			tellObservers: () => events.check(),
			get tasklistLocked() {
				return memory.u32(lock) !== 0;
			},
			entries: {
				klp_update_patch_state: core.address("klp_update_patch_state"),
				__klp_sched_try_switch: core.address("__klp_sched_try_switch"),
			},
			structOf: (task) => tasks.address(task),
			giveOwnCpus: () => tasks.giveOwnAreas(),
		};
	}

	/** The kernel functions that the core calls, under the names of their gates. */
	externals(): HostFunctions {
		const shared = this.#parts.exports().map(({ plain, sleeping }) => ({
			plain: only(plain, SHARED),
			sleeping: only(sleeping, SHARED),
		}));
		const all = [...shared, ...this.#externals];
		return {
			plain: prefixed(Object.assign({}, ...all.map(({ plain }) => plain)) as HostFunctions["plain"]),
			sleeping: prefixed(Object.assign({}, ...all.map(({ sleeping }) => sleeping)) as HostFunctions["sleeping"]),
		};
	}

	/** The core's part of the boot: klp_init(). To be called when all gates are declared and vmlinux is linked. */
	klp_init(): void {
		const { calls, kallsyms } = this.#parts;
		kallsyms.add(this.core.image);
		this.scheduler.updateCpuMasks();
		runStraight(this.#call("klp_init"));
		calls.watch = this.events;
	}

	#call(name: string, ...args: readonly bigint[]): Kernel<bigint> {
		return this.#parts.calls.call(this.core.address(name), ...args);
	}

	*#errno(name: string, ...args: readonly bigint[]): Kernel<number> {
		return Number(BigInt.asIntN(32, yield* this.#call(name, ...args)));
	}

	*#void(name: string, ...args: readonly bigint[]): Kernel<void> {
		yield* this.#call(name, ...args);
	}

	/** A patch of the core as observers know patches. */
	#describe(address: Kaddr): klp_patch {
		const patches = this.#patches;
		const known = [...this.#parts.modules.values()].find(
			(mod) => mod.patch !== undefined && this.#made.get(mod.patch) === address,
		);
		if (known?.patch !== undefined) return known.patch;
		const mod = this.#parts.moduleAt(patches.pointer(address, "klp_patch.mod"))!;
		const objs = patches.objects(address).map(
			(object) =>
				new klp_object({
					name: patches.string(object, "klp_object.name"),
					funcs: patches.funcs(object).flatMap((func) => {
						const read = patches.func(func);
						if (read === undefined || read.nop) return [];
						const { old_name, new_name, new_func } = read;
						return [new klp_func({ old_name, new_name, new_func, old_sympos: patches.sympos(func) })];
					}),
					address: object,
				}),
		);
		return new klp_patch({ mod, objs, address });
	}

	/** The structs that were made for patches of the scenario. */
	readonly #made = new WeakMap<klp_patch, Kaddr>();

	*klp_enable_patch(patch: klp_patch): Kernel<number> {
		const { object, heap, structOf, observers } = this.#parts;
		const mod = patch.mod as LoadedModule;
		const address = makePatch(patch, structOf(mod), { layout: object.layout, memory: this.#memory, heap });
		if (address === 0) return -ENOMEM;
		mod.owned.push(address);
		this.#made.set(patch, address);
		this.events.told(address);
		for (const observer of observers) observer.enable?.(patch);
		return yield* this.#errno("klp_enable_patch", toU64(address));
	}

	/** The rest of the struct module: what load_module() sets for a livepatch. */
	klp_apply_section_relocs(mod: module): number {
		const { object, structOf, heap } = this.#parts;
		const { layout } = object;
		const loaded = mod as LoadedModule;
		if (mod.livepatch && loaded.init !== 0 && !loaded.isKernelObject) checkHeaders(mod.name, layout);
		const at = structOf(loaded);
		const list = (at + layout.offset("module.list")) | 0;
		this.#memory.setU64(list, toU64(list));
		this.#memory.setU64((list + 8) | 0, toU64(list));
		this.#memory.setU8((at + layout.offset("module.klp")) | 0, Number(mod.livepatch));
		if (!mod.livepatch) return 0;
		const elf = copyModuleElf(loaded, at, { memory: this.#memory, layout, heap });
		return elf === undefined ? -ENOMEM : this.#applySections(at, elf);
	}

	/** apply_relocations() of the module loader: the sections for vmlinux are applied, the others passed over. */
	#applySections(at: Kaddr, { sechdrs, shstrtab, strtab, symndx, sections }: RelocationArguments): number {
		const { sched } = this.#parts;
		const address = this.core.address("klp_apply_section_relocs");
		for (const secndx of sections) {
			const args = [toU64(at), toU64(sechdrs), toU64(shstrtab), toU64(strtab), BigInt(symndx), BigInt(secndx), 0n];
			// The loader does this in one go.
			sched.current.preempt_count++;
			const ret = Number(BigInt.asIntN(32, runStraight(this.#parts.calls.call(address, ...args))));
			sched.current.preempt_count--;
			if (ret !== 0) return ret;
		}
		return 0;
	}

	klp_module_coming(mod: module): Kernel<number> {
		return this.#errno("klp_module_coming", toU64(this.#parts.structOf(mod as LoadedModule)));
	}

	*klp_module_going(mod: module): Kernel<void> {
		yield* this.#void("klp_module_going", toU64(this.#parts.structOf(mod as LoadedModule)));
		// klp_mutex is free, and the loader has not hidden the module yet: only klp_alive tells others that it goes.
		yield detail("klp_module_going");
	}

	/** The C takes `current` for the parent, which need not be the task that executes. */
	klp_copy_process(parent: task_struct, child: task_struct): void {
		if (this.tasks.haveAreas) {
			// Not on the parent's stack: wherever the parent is, it is a part of its state that this code does not read.
			const { calls } = this.#parts;
			runStraight(calls.callAs(parent, this.core.address("klp_copy_process"), toU64(this.tasks.address(child))));
			return;
		}
		this.tasks.asCurrent(parent, this.#parts.cpu, () => {
			// The caller holds tasklist_lock.
			parent.preempt_count++;
			runStraight(this.#call("klp_copy_process", toU64(this.tasks.address(child))));
			parent.preempt_count--;
		});
	}

	*klp_update_patch_state(task: task_struct): Kernel<void> {
		// exit_to_user_mode_loop() and do_idle() look at the flag first.
		if (task.pending) yield* this.#call("klp_update_patch_state", toU64(this.tasks.address(task)));
	}

	__klp_sched_try_switch(): Kernel<void> {
		return this.#void("__klp_sched_try_switch");
	}

	get klp_sched_try_switch_key(): boolean {
		return this.scheduler.klp_sched_try_switch_key;
	}

	get inTransition(): string | undefined {
		const patch = this.#patches.klp_transition_patch;
		return patch === 0 ? undefined : this.#patches.name(patch);
	}

	get klp_target_state(): number {
		return this.#patches.klp_target_state;
	}

	wouldRun(old_func: Kaddr, patch_state: number): Implementation | undefined {
		return this.#views.wouldRun(old_func, patch_state);
	}

	funcStack(old_func: Kaddr): readonly StackEntry[] {
		return this.#patches.funcStack(old_func);
	}

	promised(when: "now" | "after", old_func: Kaddr): Implementation | undefined {
		return this.#views.promised(when, old_func);
	}

	watchStack(old_func: Kaddr): () => boolean {
		return this.#views.watchStack(old_func);
	}

	watchPromises(): () => boolean {
		return this.#views.watchPromises();
	}

	isTransitionWork(work: work_struct | undefined): boolean {
		return work?.name === "klp_transition_work_fn";
	}

	get klp_signals_cnt(): number {
		return this.#memory.u32(this.core.address("klp_signals_cnt"));
	}

	set klp_signals_cnt(count: number) {
		this.#memory.setU32(this.core.address("klp_signals_cnt"), count);
	}

	handlerStep(_at: HandlerPlace | undefined, _fops: Kaddr, _fregs: Kaddr): HandlerStep {
		throw new Error("internal error: the handler of a compiled core is guest code");
	}

	/** What the code reads is found by what it does: see explore/world/shared-memory.ts. */
	handlerKey(): readonly unknown[] {
		return [this.klp_sched_try_switch_key];
	}
}

/** A livepatch in C of asm/include gives the core structs of its own. Throws `CORE_LAYOUT` if the core would not understand them. */
function checkHeaders(module: string, layout: KernelLayout): void {
	const differs = [...HEADERS_LAYOUT.entries.keys()].filter(
		(name) => name !== "sizeof(struct module)" && layout.constant(name) !== HEADERS_LAYOUT.constant(name),
	);
	if (differs.length === 0) return;
	const [name] = differs as [string, ...string[]];
	const values = `${layout.constant(name)}, not ${HEADERS_LAYOUT.constant(name)}`;
	throw new KlpemuError(
		"CORE_LAYOUT",
		`'${module}' is compiled for other structs than those of the core: ${name} is ${values}`,
		{
			hint: "build it as a .ko with the headers of the core's kernel",
		},
	);
}

function only<T>(functions: Readonly<Record<string, T>>, names: readonly string[]): Record<string, T> {
	return Object.fromEntries(Object.entries(functions).filter(([name]) => names.includes(name)));
}

function prefixed<T>(functions: Readonly<Record<string, T>>): Record<string, T> {
	return Object.fromEntries(Object.entries(functions).map(([name, call]) => [PREFIX + name, call]));
}
