import type { EngineImage } from "../assemble/index.js";
import { Random } from "../base/index.js";
import { type Cpu, GatePage } from "../cpu/index.js";
import { AccessesAt } from "../cpu/x86/index.js";
import type { ElfObject } from "../elf/index.js";
import {
	aliasOf,
	CpuVariables,
	condReschedFunctions,
	Exports,
	KernelData,
	kernelVariables,
	scheduleFunctions,
} from "../linux/exports/index.js";
import {
	Files,
	mountAt,
	mountCpus,
	mountDynamicDebug,
	mountFtraceEnabled,
	mountKmsg,
	mountLivepatch,
	mountModules,
	Procfs,
} from "../linux/fs/index.js";
import {
	EnabledFunctions,
	Ftrace,
	FunctionGraph,
	FunctionTracer,
	GraphTracer,
	RecoverReturns,
	Symbols,
	TextPoke,
	Tracefs,
} from "../linux/ftrace/index.js";
import { GuestCalls, Heap, HeapCheck, HostCalls, Oops } from "../linux/guest/index.js";
import type { Design, Release } from "../linux/klp/index.js";
import { type KernelCore, type KernelLayout, type LinkedCore, linkCore } from "../linux/klp-c/index.js";
import { Dmesg, FaultInjection, GuestAreas, Icache, Kallsyms, Observers, type ShouldFail } from "../linux/lib/index.js";
import { type LoadedModule, Loader, ModuleFiles } from "../linux/module/index.js";
import {
	CpuHotplug,
	HostTasks,
	KernelStacks,
	PerCpu,
	type Preemption,
	Sched,
	Unwinder,
	Workqueue,
} from "../linux/sched/index.js";
import { Memory } from "../memory/index.js";
import { type AssembledEngine, decodeEngine, label, loadEngine, trampolineTemplates } from "./assembly.js";
import { Executor } from "./executor.js";
import { declareFtraceGates, declareHostFunctions, declareProgram } from "./gates.js";
import { ENGINE_GATES, KERNEL_GATES, LAYOUT } from "./layout.js";
import { bootLivepatch } from "./livepatch.js";
import { Machine } from "./machine.js";
import type { Observer } from "./observers.js";
import { Rounds } from "./rounds.js";
import { Shell } from "./shell.js";
import { declareSwitchPoints } from "./switch-points.js";
import { Tasks } from "./tasks.js";

export interface MachineOptions {
	readonly design: Design;
	/** Makes the processor that runs the guest. */
	readonly createCpu: (memory: Memory) => Cpu | Promise<Cpu>;
	readonly vmlinux: readonly ElfObject[];
	/** The engine's own assembly. */
	readonly image: EngineImage;
	readonly cpus: number;
	readonly seed: bigint | number;
	/** Jiffies in a second. */
	readonly hz: number;
	readonly memoryBytes: number;
	/** The kernel's own livepatch core, as compiled C, in place of the one in TypeScript. `design` must be mainline then. */
	readonly core?: KernelCore | undefined;
	/** The kernel release whose livepatch is emulated; default LINUX_6_12. */
	readonly release?: Release;
	/** Places at which a task in the kernel can lose its CPU. */
	readonly preemption: Preemption;
	/** The kernel whose .ko files can be loaded; undefined: none. */
	readonly kernelLayout?: KernelLayout | undefined;
	/** Fault injection that is active during boot, too; see FaultInjection. */
	readonly should_fail?: ShouldFail;
}

/**
 * Makes a machine, part by part: no part is used before it is made. The addresses of gates are known from the start, so
 * that assembly and structs can refer to them; each gate is declared after the function that it calls.
 */
export async function boot(options: MachineOptions): Promise<Machine> {
	const memory = new Memory({ bytes: options.memoryBytes, shadow: { base: LAYOUT.heap, end: LAYOUT.heapEnd } });
	const cpu = await options.createCpu(memory);
	const gates = new GatePage(memory, cpu, LAYOUT.gates, [...ENGINE_GATES, ...KERNEL_GATES]);
	const engine = decodeEngine(options.image);

	const base = bootBase(options, cpu, engine);
	const sched = bootSched(options, base);
	const linked = options.core && linkCore(options.core, cpu, LAYOUT);
	const ftrace = bootFtrace({ ...base, ...sched, linked }, gates, engine);
	const guest = bootGuest({ ...base, ...sched, ...ftrace }, gates, engine);
	const kernel = bootKernel(options, { ...base, ...sched, ...ftrace, ...guest }, gates, engine);
	return bootMachine({ ...base, ...sched, ...ftrace, ...guest, ...kernel }, engine);
}

/** Memory, messages, observers and fault injection. */
function bootBase(options: MachineOptions, cpu: Cpu, engine: AssembledEngine) {
	const { memory } = cpu;
	const icache = new Icache(cpu);
	loadEngine(engine, memory, icache);
	return {
		...{ memory, cpu, icache, hz: options.hz },
		dmesg: new Dmesg(),
		faults: new FaultInjection(options.should_fail),
		observers: new Observers<Observer>(),
		areas: new GuestAreas(memory, LAYOUT),
		kallsyms: new Kallsyms(),
	};
}
type Base = ReturnType<typeof bootBase>;

/** Tasks, CPUs and time. */
function bootSched(options: MachineOptions, { memory, dmesg }: Base) {
	const percpu = new PerCpu(memory, LAYOUT.percpu, options.cpus);
	const sched = new Sched(options.cpus, new Random(options.seed), options.preemption);
	const hostTasks = new HostTasks(sched);
	sched.current = hostTasks.shell;
	return {
		...{ percpu, sched, hostTasks },
		stacks: new KernelStacks(memory, { base: LAYOUT.stacks, end: LAYOUT.stacksEnd }),
		hotplug: new CpuHotplug(sched, dmesg),
		workqueue: new Workqueue(),
	};
}
type WithSched = Base & ReturnType<typeof bootSched>;

/** Call sites, trampolines and symbols. */
function bootFtrace(parts: WithSched & { linked: LinkedCore | undefined }, gates: GatePage, engine: AssembledEngine) {
	const { cpu, memory, icache, sched, kallsyms, observers, hz } = parts;
	const text_poke = new TextPoke(memory, icache);
	const templates = trampolineTemplates(engine.ftrace, engine.ops, gates, parts.linked?.core);
	const ftrace = new Ftrace({ ...parts, text_poke, templates });
	const graphTracer = new GraphTracer(sched, hz);
	const graph = new FunctionGraph({ ...parts, ftrace }, graphTracer, gates.address("ftrace_graph_func"));
	declareProgram(gates, cpu, sched, observers);

	const assembly = [engine.entry, engine.ops];
	const { trampolines } = ftrace;
	const hidden = new Set(ENGINE_GATES);
	const symbols = new Symbols({ gates, hidden, ftrace: engine.ftrace, assembly, kallsyms, trampolines });
	const tracer = new FunctionTracer({ ftrace, sched, graph, graphTracer }, gates.address("ftrace_host_func"), hz);
	const returns = new RecoverReturns(sched, graph, templates.arch_rethook_trampoline);
	return {
		...{ linked: parts.linked, text_poke, ftrace, symbols, tracer, graph },
		unwinder: new Unwinder(memory, symbols, returns),
		tracefs: new Tracefs(ftrace, tracer, symbols, new EnabledFunctions(memory, ftrace, symbols)),
	};
}
type WithFtrace = WithSched & ReturnType<typeof bootFtrace>;

/** What is wrong is told to observers. */
function heapCheckOf({ cpu, memory, symbols, observers, sched }: WithFtrace, heap: Heap): HeapCheck {
	return new HeapCheck({
		...{ cpu, heap, accesses: new AccessesAt(memory, () => false) },
		symbolize: (address) => symbols.symbolize(address),
		report: (what) => {
			for (const observer of observers) observer.invalidRead?.(`${sched.current.comm}: ${what}`);
		},
	});
}

/** Calls from TypeScript to guest code, and from guest code to TypeScript. */
function bootGuest(parts: WithFtrace, gates: GatePage, engine: AssembledEngine) {
	const { cpu, memory, sched, observers } = parts;
	const oops = new Oops(parts);
	const hostCalls = new HostCalls(cpu, sched, oops, observers);
	const labels = {
		call_from_host: label(engine.entry, "call_from_host"),
		host_bottom: label(engine.entry, "host_bottom"),
	};
	const heap = new Heap(memory, { base: LAYOUT.heap, end: LAYOUT.heapEnd });
	const calls = new GuestCalls({ ...parts, oops, hostCalls, labels, heapCheck: heapCheckOf(parts, heap) });
	gates.add({ name: "return_to_host", passes: "state", call: () => true });
	declareFtraceGates(gates, cpu, { ...parts, hostCalls });
	return { oops, hostCalls, calls, labels, heap };
}
type WithGuest = WithFtrace & ReturnType<typeof bootGuest>;

/** Livepatch, modules, the functions that modules may call, vmlinux, and the files that show their state. */
function bootKernel(options: MachineOptions, parts: WithGuest, gates: GatePage, engine: AssembledEngine) {
	const { cpu, hostCalls, hz } = parts;
	const modules = new Map<string, LoadedModule>();
	const { core } = options;
	const later = { loader: () => loader, exports: () => exports };
	const { klp, typescript, compiled } = bootLivepatch(options, parts, gates, modules, later);
	const fentry = label(engine.ftrace, "__fentry__");

	const kernelData = core === undefined ? bootKernelData(options, parts) : undefined;
	// Those that the core's own code does not have.
	const variables = compiled && new Map(kernelVariables(parts.memory, LAYOUT.kernelData, options.cpus));
	const kernelSymbol = (name: string) => {
		// The core has the kernel's trampolines, too; those of the machine are ours.
		if (name === "__fentry__") return fentry;
		const alias = aliasOf(name);
		const data = kernelData?.symbol(name) ?? compiled?.core.image.symbol(name)?.address ?? variables?.get(name);
		return data ?? (alias === undefined ? undefined : parts.symbols.resolve(alias));
	};
	const layout = core?.layout ?? options.kernelLayout;
	const moduleSize = core?.layout.size("struct module");
	const loader: Loader = new Loader({ ...parts, modules, klp, fentry, layout, moduleSize, kernelSymbol });
	const forExports = { klp, typescript, loader, kprobe_ftrace_handler: gates.address("kprobe_ftrace_handler") };
	const exports: Exports = new Exports({
		...parts,
		...forExports,
		HZ: hz,
		seed: options.seed,
		kernelTasks: kernelData ?? compiled,
	});
	const functions = [...exports.functions, loader.functions()];
	for (const family of functions) declareHostFunctions(gates, cpu, hostCalls, family);
	for (const inCalls of [condReschedFunctions(klp), scheduleFunctions(parts.sched)]) hostCalls.add(inCalls);
	const switchPoints = declareSwitchPoints(gates, { ...parts, klp });

	const vmlinux = loader.linkVmlinux(options.vmlinux, LAYOUT.vmlinux);
	if (compiled !== undefined) {
		declareHostFunctions(compiled.gates, cpu, hostCalls, compiled.externals());
		compiled.klp_init();
	}
	const jiffies = kernelData?.symbol("jiffies") ?? variables?.get("jiffies");
	const ticking = [exports.work, exports.timers];
	if (jiffies === undefined) return { klp, modules, loader, exports, switchPoints, vmlinux, jiffies, ticking };
	const cpus = new CpuVariables(parts.memory, LAYOUT.kernelData, parts.sched, parts.percpu);
	return { klp, modules, loader, exports, switchPoints, vmlinux, jiffies, ticking: [...ticking, cpus] };
}

/** What .ko files read without a call. */
function bootKernelData({ kernelLayout: layout }: MachineOptions, parts: WithGuest): KernelData | undefined {
	const area = { base: LAYOUT.kernelData, end: LAYOUT.kernelDataEnd };
	return layout && new KernelData({ ...parts, layout, area });
}
type WithKernel = WithGuest & ReturnType<typeof bootKernel>;

/** All files. */
function mountFiles({
	klp,
	modules,
	loader,
	exports,
	sched,
	hotplug,
	vmlinux,
	heap,
	calls,
	ftrace,
	tracefs,
	dmesg,
}: WithKernel) {
	return new Files([
		mountLivepatch(klp.sysfs),
		mountAt("/sys/module/", new ModuleFiles(loader)),
		mountAt("", exports.kobjects),
		mountAt("", exports.proc),
		new Procfs(sched, vmlinux, heap, calls, exports.output),
		mountModules(modules),
		mountFtraceEnabled(ftrace),
		mountAt("/sys/kernel/tracing/", tracefs),
		mountCpus(sched, hotplug),
		mountKmsg(dmesg),
		mountDynamicDebug(dmesg),
	]);
}

/** The parts that make the kernel run, and the actors: shell and tasks. */
function bootMachine(parts: WithKernel, engine: AssembledEngine): Machine {
	const { klp, hostTasks, loader, vmlinux } = parts;
	const entry = {
		user: label(engine.entry, "entry_SYSCALL_64"),
		kthread: label(engine.entry, "ret_from_fork_asm"),
		idle: label(engine.entry, "secondary_startup_64"),
	};
	const executor = new Executor({ ...parts, entry, heapCheck: parts.calls.heapCheck });
	const jiffies = [vmlinux.symbol("jiffies")?.address, parts.jiffies].filter((at) => at !== undefined);
	const rounds = new Rounds({ ...parts, executor, jiffies });
	const files = mountFiles(parts);
	const shell = new Shell(rounds, hostTasks, klp, loader, files);
	const tasks = new Tasks({ ...parts, rounds });
	return new Machine({ ...parts, files, executor, rounds, shell, tasks });
}
