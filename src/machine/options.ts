import type { EngineImage } from "../assemble/index.js";
import type { Cpu } from "../cpu/index.js";
import type { ElfObject } from "../elf/index.js";
import type { Design } from "../linux/klp/index.js";
import type { ShouldFail } from "../linux/lib/index.js";
import type { Preemption } from "../linux/sched/index.js";
import type { Kaddr, Memory } from "../memory/index.js";

export interface MachineOptions {
	readonly design: Design;
	/** Makes the processor that runs the guest. */
	readonly createCpu: (memory: Memory) => Cpu | Promise<Cpu>;
	readonly vmlinux: readonly ElfObject[];
	/** The engine's own assembly. */
	readonly image: EngineImage;
	readonly cpus: number;
	readonly seed: bigint | number;
	readonly hz: number;
	readonly memoryBytes: number;
	/** Where a task that runs in the kernel can lose its CPU. */
	readonly preemption: Preemption;
	/** See `Machine.should_fail`; from the very beginning. */
	readonly should_fail?: ShouldFail;
}

export interface NewTask {
	readonly name: string;
	readonly kthread: boolean;
	readonly calls: readonly Kaddr[];
	readonly sleepAt?: (() => readonly Kaddr[]) | undefined;
	/** A signal ends the sleep there. */
	readonly interruptible?: boolean;
	/** The CPU it is bound to. */
	readonly cpu?: number | undefined;
	/** Asleep until somebody wakes it. */
	readonly idle?: boolean;
}
