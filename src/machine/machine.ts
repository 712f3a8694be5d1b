import { declareState } from "../base/index.js";
import type { Cpu } from "../cpu/index.js";
import type { Image } from "../elf/index.js";
import type { Exports } from "../linux/exports/index.js";
import type { Files } from "../linux/fs/index.js";
import type { Ftrace, FunctionTracer, Symbols, TextPoke, Tracefs } from "../linux/ftrace/index.js";
import type { GuestCalls, Heap, HostCalls, Oops } from "../linux/guest/index.js";
import type { Livepatch } from "../linux/klp/index.js";
import type { Dmesg, FaultInjection, GuestAreas, Icache, Kallsyms, Observers } from "../linux/lib/index.js";
import type { LoadedModule, Loader } from "../linux/module/index.js";
import type { CpuHotplug, HostTasks, KernelStacks, PerCpu, Sched, Unwinder, Workqueue } from "../linux/sched/index.js";
import type { Kaddr, Memory } from "../memory/index.js";
import type { Executor } from "./executor.js";
import type { Observer } from "./observers.js";
import type { Rounds } from "./rounds.js";
import type { Shell } from "./shell.js";
import type { SwitchPoints } from "./switch-points.js";
import type { Tasks } from "./tasks.js";

/** The parts of a machine, in the order in which boot() makes them: each uses only those before it. */
export interface MachineParts {
	readonly memory: Memory;
	readonly cpu: Cpu;
	/** Jiffies in a second. */
	readonly hz: number;

	readonly dmesg: Dmesg;
	readonly faults: FaultInjection;
	readonly observers: Observers<Observer>;
	readonly icache: Icache;
	readonly areas: GuestAreas;
	readonly kallsyms: Kallsyms;

	readonly sched: Sched;
	readonly percpu: PerCpu;
	readonly stacks: KernelStacks;
	/** The administrator's process, and the kworker. */
	readonly hostTasks: HostTasks;
	/** CPU hotplug. */
	readonly hotplug: CpuHotplug;
	readonly workqueue: Workqueue;

	readonly text_poke: TextPoke;
	readonly ftrace: Ftrace;
	/** Symbols of all guest code. */
	readonly symbols: Symbols;
	readonly unwinder: Unwinder;
	readonly tracer: FunctionTracer;
	readonly tracefs: Tracefs;

	readonly oops: Oops;
	readonly heap: Heap;
	readonly hostCalls: HostCalls;
	readonly calls: GuestCalls;

	readonly klp: Livepatch;
	/** All loaded modules by name, in the order they were loaded. */
	readonly modules: ReadonlyMap<string, LoadedModule>;
	readonly loader: Loader;
	/** Functions that guest code can call. */
	readonly exports: Exports;
	readonly vmlinux: Image;
	/** All files. */
	readonly files: Files;

	/** The gates at which a task can be switched. */
	readonly switchPoints: SwitchPoints;
	readonly executor: Executor;
	readonly rounds: Rounds;
	readonly shell: Shell;
	readonly tasks: Tasks;
}

/** A class with the fields of MachineParts, so that they are listed only once. */
const WithParts = class {
	constructor(parts: MachineParts) {
		Object.assign(this, parts);
	}
} as new (
	parts: MachineParts,
) => MachineParts;

/**
 * The whole machine: guest memory, a Cpu, tasks, ftrace and livepatch, and the administrator who acts on them. It
 * advances in rounds: in each, every emulated CPU runs one slice of one task. Actions of the administrator (insmod,
 * writes to sysfs) run on CPU 0 as the task `shell`, at once. `boot()` makes one.
 */
export class Machine extends WithParts {
	static readonly state = declareState("Machine", {
		fields: [
			...[
				"sched",
				"stacks",
				"hotplug",
				"kallsyms",
				"text_poke",
				"ftrace",
				"tracer",
				"klp",
				"modules",
				"loader",
				"heap",
			],
			...["hostCalls", "exports", "vmlinux", "workqueue", "areas", "hostTasks", "dmesg"],
		],
	});

	/**
	 * Adds an observer, which gets all events from now on, after the observers that were added before it. The returned
	 * function removes it.
	 */
	observe(observer: Observer): () => void {
		const unsubscribe = this.observers.observe(observer);
		this.#observeInstructions();
		return () => {
			unsubscribe();
			this.#observeInstructions();
		};
	}

	/** The Cpu reports instructions only while an observer has a member for them. */
	#observeInstructions(): void {
		const watching = [...this.observers].filter((observer) => observer.instruction !== undefined);
		const tell = (rip: bigint) => {
			for (const observer of watching) observer.instruction?.(rip);
		};
		this.cpu.onInstruction = watching.length === 0 ? undefined : tell;
	}

	/** One round: timers, due work, then a slice on every CPU. */
	round(): void {
		this.rounds.round();
	}

	/** Kernel code in TypeScript is in progress: the machine cannot be saved. */
	get busy(): boolean {
		return this.rounds.busy;
	}

	/** Rounds until no transition is in progress and no work is left; false if `max` were not enough. */
	settle(max: number): boolean {
		return this.rounds.settle(max);
	}

	/** `funcA+0x4`, for reports. */
	symbolize(address: Kaddr): string {
		return this.symbols.symbolize(address);
	}

	/** Frees the Cpu's memory outside JavaScript, and gives the guest's up. */
	close(): void {
		this.cpu.close();
		this.memory.close();
	}
}
