import { declareState } from "../../../base/index.js";
import type { Cpu } from "../../../cpu/index.js";
import { toU64 } from "../../../memory/index.js";
import type { GuestArguments, GuestCalls, GuestMemory, HostFunctions } from "../../guest/index.js";
import { EINVAL, type Kernel } from "../../lib/index.js";
import {
	type CpuHotplug,
	type Sched,
	synchronize_rcu,
	synchronize_rcu_tasks,
	type task_struct,
	type Unwinder,
} from "../../sched/index.js";
import type { CoreImage } from "../core-image.js";

interface Parts {
	readonly cpu: Cpu;
	readonly memory: GuestMemory;
	readonly sched: Sched;
	readonly hotplug: CpuHotplug;
	readonly unwinder: Unwinder;
	readonly calls: GuestCalls;
	readonly core: () => CoreImage;
	readonly taskAt: (address: number) => task_struct | undefined;
}

/** kernel/sched/core.c, kernel/cpu.c and kernel/stacktrace.c. */
export class CoreScheduler {
	static readonly state = declareState("CoreScheduler", { fields: ["klp_sched_try_switch_key"] });

	readonly #parts: Parts;
	/** sched_dynamic_klp_enable(): cond_resched() tries to switch the current task. */
	klp_sched_try_switch_key = false;

	constructor(parts: Parts) {
		this.#parts = parts;
	}

	#task(args: GuestArguments): task_struct | undefined {
		return this.#parts.taskAt(args.pointer(0));
	}

	/** stack_trace_save_tsk_reliable(tsk, store, size): the number of entries, or -EINVAL. */
	#stackTrace(args: GuestArguments): number {
		const { cpu, memory, sched, unwinder } = this.#parts;
		const task = this.#task(args);
		if (task === undefined) return -EINVAL;
		// The caller's own registers are those of the Cpu.
		if (task === sched.current) task.regs.words.set(cpu.state.words);
		const entries = unwinder.stack_trace_save_tsk_reliable(task);
		if (entries === undefined || entries.length >= args.u32(2)) return -EINVAL;
		const store = args.pointer(1);
		for (const [index, entry] of entries.entries()) memory.setU64((store + 8 * index) | 0, toU64(entry));
		return entries.length;
	}

	/** The CPUs that are online may have changed since the last time. */
	updateCpuMasks(): void {
		const { sched, memory } = this.#parts;
		const image = this.#parts.core();
		const mask = (name: string, has: (cpu: (typeof sched.cpus)[number]) => boolean) => {
			const at = image.address(name);
			for (const cpu of sched.cpus) {
				const byte = (at + (cpu.id >> 3)) | 0;
				const bit = 1 << (cpu.id & 7);
				memory.setU8(byte, has(cpu) ? memory.u8(byte) | bit : memory.u8(byte) & ~bit);
			}
		};
		mask("__cpu_online_mask", ({ online }) => online);
		mask("__cpu_possible_mask", () => true);
		memory.setU32(image.address("nr_cpu_ids"), sched.cpus.length);
	}

	*#schedule_on_each_cpu(func: number): Kernel<number> {
		const { sched, calls } = this.#parts;
		yield* synchronize_rcu(sched, "klp_synchronize_transition");
		// The works themselves: on the stack of the caller, which waits for them.
		for (const { online } of sched.cpus) if (online) yield* calls.call(func, 0n);
		return 0;
	}

	functions(): HostFunctions {
		const { sched, hotplug } = this.#parts;
		const setKey = (value: boolean) => {
			this.klp_sched_try_switch_key = value;
			return undefined;
		};
		const updateCpuMasks = () => this.updateCpuMasks();
		return {
			plain: {
				task_curr: (args) => Number((this.#task(args)?.on_cpu ?? -1) >= 0),
				// A running task comes out of user mode by itself, at the end of its slice.
				kick_process: () => undefined,
				wake_up_state: (args) => {
					const task = this.#task(args);
					return Number(task !== undefined && sched.wake_up_state(task, args.u32(1)));
				},
				wake_up_if_idle: (args) => {
					sched.wake_up_if_idle(args.u32(0));
					return undefined;
				},
				stack_trace_save_tsk_reliable: (args) => this.#stackTrace(args),
				sched_dynamic_klp_enable: () => setKey(true),
				sched_dynamic_klp_disable: () => setKey(false),
				cpus_read_unlock: () => {
					hotplug.lock.unlock();
					return undefined;
				},
			},
			sleeping: {
				*cpus_read_lock(): Kernel<undefined> {
					yield* hotplug.lock.lock();
					updateCpuMasks();
					return undefined;
				},
				schedule_on_each_cpu: (args) => this.#schedule_on_each_cpu(args.pointer(0)),
				// 6.12 does not call it; a patch may.
				*synchronize_rcu_tasks(): Kernel<undefined> {
					yield* synchronize_rcu_tasks(sched, "synchronize_rcu_tasks");
					return undefined;
				},
			},
		};
	}
}
