import { type Kaddr, type Memory, PAGE_SIZE, PERM } from "../../memory/index.js";

/** The per-CPU areas: a page for each CPU, which gs points to. */
export class PerCpu {
	readonly #base: Kaddr;

	constructor(memory: Memory, base: Kaddr, cpus: number) {
		this.#base = base;
		memory.map("percpu", base, cpus * PAGE_SIZE, PERM.READ | PERM.WRITE);
	}

	/** The area of a CPU. */
	per_cpu_offset(cpu: number): Kaddr {
		return (this.#base + cpu * PAGE_SIZE) | 0;
	}
}
