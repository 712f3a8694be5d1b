import { declareState } from "../../base/index.js";
import type { Kaddr, Memory } from "../../memory/index.js";
import type { Ftrace, Symbols, TextPoke, Tracefs } from "../ftrace/index.js";
import { type GuestCalls, GuestMemory, type Heap, type HostFunctions, Refcounts, Slab } from "../guest/index.js";
import { type Klp, type Livepatch, Shadow } from "../klp/index.js";
import type { Dmesg, FaultInjection, Kallsyms } from "../lib/index.js";
import { type Loader, moduleReferences } from "../module/index.js";
import type { HostTasks, PerCpu, Sched, Workqueue } from "../sched/index.js";
import { GuestFtrace } from "./ftrace.js";
import { KernelAbi, type KernelTasks } from "./kernel-abi.js";
import { Kobjects } from "./kobjects.js";
import { Kprobes } from "./kprobes.js";
import { Kthreads } from "./kthreads.js";
import { GuestLivepatch } from "./livepatch.js";
import { lockFunctions } from "./locks.js";
import { memoryFunctions } from "./memory.js";
import { GuestOutput } from "./output.js";
import { GuestPerCpu } from "./percpu.js";
import { ProcEntries } from "./proc-entries.js";
import { GuestRandom } from "./random.js";
import { GuestRcu } from "./rcu.js";
import { readLockFunctions } from "./read-locks.js";
import { semaphoreFunctions } from "./semaphores.js";
import { SlabCaches } from "./slab-caches.js";
import { spinLockFunctions } from "./spin-locks.js";
import { StaticCalls } from "./static-calls.js";
import { StaticKeys } from "./static-keys.js";
import { GuestTasks } from "./tasks.js";
import { GuestTimers } from "./timers.js";
import { waitFunctions } from "./wait.js";
import { GuestWorkqueue } from "./workqueue.js";

/** All host functions, in groups: the functions of the kernel for guest code that asm/vmlinux does not have in C. */
export class Exports {
	static readonly state = declareState("Exports", {
		fields: [
			"output",
			"random",
			"slabCaches",
			"percpu",
			"work",
			"timers",
			"rcu",
			"kthreads",
			"kobjects",
			"proc",
			"shadow",
			"livepatch",
			"tasks",
			"ftrace",
			"kprobes",
			"kernelTasks",
			"staticKeys",
			"staticCalls",
		],
	});

	readonly output: GuestOutput;
	private readonly random: GuestRandom;
	private readonly slabCaches: SlabCaches;
	private readonly percpu: GuestPerCpu;
	readonly work: GuestWorkqueue;
	readonly timers: GuestTimers;
	private readonly rcu: GuestRcu;
	private readonly kthreads: Kthreads;
	readonly kobjects: Kobjects;
	readonly proc: ProcEntries;
	readonly shadow: Shadow;
	readonly kernelTasks: KernelTasks | undefined;
	private readonly livepatch: GuestLivepatch | undefined;
	private readonly tasks: GuestTasks;
	private readonly ftrace: GuestFtrace;
	readonly kprobes: Kprobes;
	private readonly staticKeys: StaticKeys | undefined = undefined;
	private readonly staticCalls: StaticCalls | undefined = undefined;
	/** All host functions, in groups. */
	readonly functions: readonly HostFunctions[];

	constructor(parts: {
		readonly memory: Memory;
		readonly dmesg: Dmesg;
		readonly faults: FaultInjection;
		readonly kallsyms: Kallsyms;
		readonly text_poke: TextPoke;
		readonly sched: Sched;
		readonly percpu: PerCpu;
		readonly hostTasks: HostTasks;
		readonly workqueue: Workqueue;
		readonly symbols: Symbols;
		readonly ftrace: Ftrace;
		readonly tracefs: Tracefs;
		readonly heap: Heap;
		readonly calls: GuestCalls;
		readonly klp: Livepatch;
		/** The core in TypeScript, whose functions guest code calls through gates; undefined: the core is guest code itself. */
		readonly typescript: Klp | undefined;
		readonly loader: Loader;
		/** Address of the gate of that name. */
		readonly kprobe_ftrace_handler: Kaddr;
		/** Jiffies in a second. */
		readonly HZ: number;
		/** Of the random numbers. */
		readonly seed: bigint | number;
		/** If .ko files can be loaded. */
		readonly kernelTasks: KernelTasks | undefined;
	}) {
		const { dmesg, faults, sched, symbols, heap, calls, typescript, loader, HZ, kernelTasks } = parts;
		const memory = new GuestMemory(parts.memory);
		this.kernelTasks = kernelTasks;
		const slab = new Slab(heap, faults, sched);
		this.output = new GuestOutput(memory, heap, dmesg, symbols, sched);
		this.random = new GuestRandom(memory, parts.seed);
		this.work = new GuestWorkqueue(memory, heap, parts);
		this.timers = new GuestTimers(memory, parts);
		this.rcu = new GuestRcu({ memory, heap, calls, sched, workqueue: parts.workqueue });
		this.kobjects = new Kobjects(memory, heap, calls, new Refcounts(memory, heap, dmesg), dmesg);
		this.proc = new ProcEntries(memory, heap, calls, this.output, dmesg);
		this.shadow = new Shadow(dmesg, slab);
		this.tasks = new GuestTasks(memory, heap, sched, kernelTasks);
		this.kthreads = new Kthreads({ ...parts, tasks: this.tasks, output: this.output });
		this.ftrace = new GuestFtrace(memory, parts.ftrace, symbols, parts.tracefs);
		this.kprobes = new Kprobes({ ...parts, memory });
		const { shadow } = this;
		this.livepatch =
			typescript && new GuestLivepatch({ memory, heap, calls, symbols, klp: typescript, loader, shadow });
		this.slabCaches = new SlabCaches({ memory, slab, dmesg, symbols, calls });
		this.percpu = new GuestPerCpu({ memory, dmesg, faults, percpu: parts.percpu });
		const allocators = memoryFunctions(memory, slab, dmesg, (object) => this.slabCaches.freed(object));
		const functions: HostFunctions[] = [
			this.output.functions(),
			allocators,
			this.slabCaches.functions((args) => void allocators.plain.kfree!(args)),
			this.percpu.functions(() => loader.percpuEnd),
			this.random.functions(),
			{ plain: moduleReferences((address) => loader.moduleAt(address), dmesg), sleeping: {} },
			this.tasks.functions(),
			waitFunctions(sched, this.tasks),
			lockFunctions(memory, sched, HZ),
			semaphoreFunctions(memory, sched),
			spinLockFunctions(memory, sched),
			this.work.functions(),
			this.timers.functions(),
			this.rcu.functions(),
			this.kthreads.functions(),
			readLockFunctions(memory, sched),
			this.kobjects.functions((args, at) => this.output.format(args, at)),
			this.proc.functions(),
			...(this.livepatch === undefined ? [] : [this.livepatch.functions()]),
			this.ftrace.functions(),
			this.kprobes.functions(),
		];
		if (kernelTasks !== undefined) {
			this.staticKeys = new StaticKeys(memory, parts.kallsyms, parts.text_poke);
			this.staticCalls = new StaticCalls(memory, parts.kallsyms, symbols, parts.text_poke);
			const abi = new KernelAbi(memory, dmesg, this.output, kernelTasks, sched, functions);
			functions.push(abi.functions(), this.staticKeys.functions(), this.staticCalls.functions());
		}
		this.functions = functions;
	}
}
