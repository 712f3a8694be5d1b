import { type Kaddr, toU64 } from "../../../memory/index.js";
import type { Symbols } from "../../ftrace/index.js";
import type { GuestCalls, GuestMemory, HostFunctions } from "../../guest/index.js";
import type { Kernel, KernelLayout } from "../../lib/index.js";
import type { Sched, Workqueue, work_struct } from "../../sched/index.js";

const WORK_STRUCT_PENDING = 1n;

interface Parts {
	readonly memory: GuestMemory;
	readonly layout: KernelLayout;
	readonly sched: Sched;
	readonly workqueue: Workqueue;
	readonly symbols: Symbols;
	readonly calls: GuestCalls;
	/** Jiffies of the machine in a second; the core is compiled for another number. */
	readonly hz: number;
}

/** kernel/workqueue.c: works of the core, which the kworker runs on its own stack. */
export function workFunctions({ memory, layout, sched, workqueue, symbols, calls, hz }: Parts): HostFunctions {
	const data = (work: Kaddr) => (work + layout.offset("work_struct.data")) | 0;
	const flag = (work: Kaddr, set: boolean) => {
		const now = memory.u64(data(work));
		memory.setU64(data(work), set ? now | WORK_STRUCT_PENDING : now & ~WORK_STRUCT_PENDING);
	};
	/** process_one_work() */
	const workAt = (work: Kaddr): work_struct => {
		const func = memory.kaddr((work + layout.offset("work_struct.func")) | 0);
		return {
			name: symbols.sprint_symbol(func, true),
			*func(): Kernel<void> {
				flag(work, false);
				yield* calls.call(func, toU64(work));
			},
		};
	};
	/** False if the work is queued already. */
	const queue = (work: Kaddr, delay: number | undefined) => {
		if (memory.u64(data(work)) & WORK_STRUCT_PENDING) return 0;
		flag(work, true);
		const jiffies = Math.round(((delay ?? 0) * hz) / layout.constant("HZ"));
		if (jiffies === 0) workqueue.schedule_work(workAt(work));
		else workqueue.schedule_delayed_work(workAt(work), sched.jiffies + jiffies);
		return 1;
	};
	return {
		plain: {
			queue_work_on: (args) => queue(args.pointer(2), undefined),
			queue_delayed_work_on: (args) =>
				queue((args.pointer(2) + layout.offset("delayed_work.work")) | 0, Number(args.u64(3))),
		},
		sleeping: {},
	};
}
