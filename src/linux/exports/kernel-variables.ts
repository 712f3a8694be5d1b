import { type Kaddr, type Memory, PAGE_SIZE, PERM, toU64 } from "../../memory/index.js";

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
/** Bytes that the variables take. */
export const VARIABLES_SIZE = KMALLOC_CACHES + PAGE_SIZE;

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
		...queues,
	];
}
