import { declareState } from "../../base/index.js";
import { type Kaddr, type Memory, PAGE_SIZE, PERM } from "../../memory/index.js";
import type { task_struct } from "./task.js";

/** Offset of modules' per-CPU variables in each area: what comes before is of the kernel. */
export const PERCPU_MODULES = 0x800;

/** Areas of tasks, in place of those of the CPUs. */
interface OwnAreas {
	of(task: task_struct): Kaddr;
	all(): Iterable<Kaddr>;
	contains(address: Kaddr): boolean;
}

/** What alloc_percpu() has given out: offsets in each area, from its end downwards. */
export class PerCpuChunk {
	static readonly state = declareState("PerCpuChunk", { fields: ["used"] });

	/** Bytes, by the offset of their first one. */
	private readonly used = new Map<number, number>();

	/** All that is given out lies behind this offset. */
	get lowest(): number {
		return Math.min(PAGE_SIZE, ...this.used.keys());
	}

	/** The highest offset with so much room behind `from`; undefined: there is none. */
	allocate(size: number, align: number, from: number): number | undefined {
		for (let at = (PAGE_SIZE - size) & -align; at >= from; at -= align) {
			if ([...this.used].some(([start, bytes]) => at < start + bytes && start < at + size)) continue;
			this.used.set(at, size);
			return at;
		}
		return undefined;
	}

	/** False if nothing was given out there. */
	free(offset: number): boolean {
		return this.used.delete(offset);
	}
}

/** The per-CPU areas: a page for each CPU, which gs points to. */
export class PerCpu {
	readonly #base: Kaddr;
	readonly #cpus: number;
	readonly chunk = new PerCpuChunk();

	constructor(memory: Memory, base: Kaddr, cpus: number) {
		this.#base = base;
		this.#cpus = cpus;
		memory.map("percpu", base, cpus * PAGE_SIZE, PERM.READ | PERM.WRITE);
	}

	/** Offset of the CPU's number (smp_processor_id()) in each area, for code that reads it there; undefined: there is none. */
	cpuNumber: number | undefined = undefined;

	/** In the explorer each task has an area of its own, as if it were on a CPU of its own. */
	own: OwnAreas | undefined = undefined;

	/** The area of the CPU that a task is on. */
	areaOf(task: task_struct): Kaddr {
		return this.own?.of(task) ?? this.per_cpu_offset(Math.max(task.on_cpu, 0));
	}

	/** The area of a CPU. */
	per_cpu_offset(cpu: number): Kaddr {
		return (this.#base + cpu * PAGE_SIZE) | 0;
	}

	/** All areas, those of tasks too. */
	*areas(): Generator<Kaddr, void, void> {
		for (let cpu = 0; cpu < this.#cpus; cpu++) yield this.per_cpu_offset(cpu);
		if (this.own !== undefined) yield* this.own.all();
	}

	/** The address of a module's per-CPU variable, in whichever area it is, in that of CPU 0; undefined: it is none. */
	ofModule(address: Kaddr): Kaddr | undefined {
		const offset = address & (PAGE_SIZE - 1);
		return offset >= PERCPU_MODULES && this.#contains(address) ? (this.#base + offset) | 0 : undefined;
	}

	/** The number of a CPU is there, and there are several. */
	isCpuNumber(address: Kaddr): boolean {
		return (address & (PAGE_SIZE - 1)) === this.cpuNumber && this.#cpus > 1 && this.#contains(address);
	}

	#contains(address: Kaddr): boolean {
		const isCpu = address >= this.#base && address < this.#base + this.#cpus * PAGE_SIZE;
		return isCpu || this.own?.contains(address) === true;
	}
}
