import { type Kaddr, type Memory, PAGE_SIZE, PERM, toU64 } from "../../memory/index.js";
import type { PerCpu, Sched } from "../sched/index.js";

/** kmalloc_caches[][]: any size will do, because the caches themselves are not read. */
const KMALLOC_CACHES = PAGE_SIZE;
/**
 * pv_ops, behind the other variables: functions of hypervisors. All are NULL, because this processor has none: alternatives put the plain
 * instructions in their place, and BUG_func() where there are none.
 */
const PV_OPS = KMALLOC_CACHES + PAGE_SIZE / 4;
/** Variables that hold a pointer to a workqueue. Only the pointer is passed on. */
const WORKQUEUES = [
	...["system_wq", "system_percpu_wq", "system_highpri_wq", "system_long_wq", "system_unbound_wq", "system_dfl_wq"],
	...["system_freezable_wq", "system_power_efficient_wq"],
];
/** struct cpumask of a kernel with NR_CPUS=8192: a page has the four masks. */
const CPUMASK = 1024;
const MASKS = KMALLOC_CACHES + PAGE_SIZE;
const MASK_NAMES = ["__cpu_possible_mask", "__cpu_present_mask", "__cpu_online_mask", "__cpu_active_mask"] as const;
const NUM_ONLINE_CPUS = MASKS + CPUMASK * MASK_NAMES.length;
/** __per_cpu_offset[]: as long as there can be CPUs. */
const PER_CPU_OFFSETS = NUM_ONLINE_CPUS + 8;
/** Bytes that the variables take. */
export const VARIABLES_SIZE = MASKS + 2 * PAGE_SIZE;

/** Variables that modules read without a call, and that are no CPU's own: symbols and addresses. They are made at `base`. */
export function kernelVariables(memory: Memory, base: Kaddr, cpus: number): [string, Kaddr][] {
	memory.map("kernel data", base, VARIABLES_SIZE, PERM.READ | PERM.WRITE);
	const queues = WORKQUEUES.map((name, index): [string, Kaddr] => {
		const at = (base + KMALLOC_CACHES + 8 * index) | 0;
		memory.setU64(at, toU64(at));
		return [name, at];
	});
	const nr_cpu_ids = (base + KMALLOC_CACHES + 8 * WORKQUEUES.length) | 0;
	memory.setU32(nr_cpu_ids, cpus);
	const pv_ops = (base + PV_OPS) | 0;
	return [
		["kmalloc_caches", base],
		["nr_cpu_ids", nr_cpu_ids],
		// Written in each round.
		["jiffies", (nr_cpu_ids + 8) | 0],
		["pv_ops", pv_ops],
		...MASK_NAMES.map((name, index): [string, Kaddr] => [name, (base + MASKS + CPUMASK * index) | 0]),
		["__num_online_cpus", (base + NUM_ONLINE_CPUS) | 0],
		["__per_cpu_offset", (base + PER_CPU_OFFSETS) | 0],
		...queues,
	];
}

/** Which CPUs there are, which are online, and where their areas are: for modules that read it without a call. */
export class CpuVariables {
	readonly #memory: Memory;
	readonly #base: Kaddr;
	readonly #sched: Sched;

	/** `base`: that of {@link kernelVariables}. */
	constructor(memory: Memory, base: Kaddr, sched: Sched, percpu: PerCpu) {
		this.#memory = memory;
		this.#base = base;
		this.#sched = sched;
		const all = bits(sched.cpus.map(({ id }) => id));
		for (const index of [0, 1]) memory.setU64((base + MASKS + CPUMASK * index) | 0, all);
		for (const { id } of sched.cpus) {
			memory.setU64((base + PER_CPU_OFFSETS + 8 * id) | 0, toU64(percpu.per_cpu_offset(id)));
		}
		this.tick();
	}

	/** Which are online may have changed. */
	tick(): void {
		const online = this.#sched.cpus.filter((cpu) => cpu.online).map(({ id }) => id);
		for (const index of [2, 3]) this.#memory.setU64((this.#base + MASKS + CPUMASK * index) | 0, bits(online));
		this.#memory.setU32((this.#base + NUM_ONLINE_CPUS) | 0, online.length);
	}
}

function bits(cpus: readonly number[]): bigint {
	return cpus.reduce((mask, id) => mask | (1n << BigInt(id)), 0n);
}
