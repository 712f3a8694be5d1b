import { type Kaddr, type Memory, PAGE_SIZE, PERM } from "../../memory/index.js";
import type { task_struct } from "./task.js";

/** The per-CPU areas: a page for each CPU, which gs points to. */
export class PerCpu {
	readonly #base: Kaddr;

	constructor(memory: Memory, base: Kaddr, cpus: number) {
		this.#base = base;
		memory.map("percpu", base, cpus * PAGE_SIZE, PERM.READ | PERM.WRITE);
	}

	/** In the explorer each task has an area of its own, as if it were on a CPU of its own. */
	own: ((task: task_struct) => Kaddr) | undefined = undefined;

	/** The area of the CPU that a task is on. */
	areaOf(task: task_struct): Kaddr {
		return this.own?.(task) ?? this.per_cpu_offset(Math.max(task.on_cpu, 0));
	}

	/** The area of a CPU. */
	per_cpu_offset(cpu: number): Kaddr {
		return (this.#base + cpu * PAGE_SIZE) | 0;
	}
}
