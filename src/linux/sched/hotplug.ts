import { declareState } from "../../base/index.js";
import { type Dmesg, EINVAL, EPERM, type Kernel, mutex, Printer } from "../lib/index.js";
import type { EmulatedCpu, Sched } from "./sched.js";

/** CPU hotplug (kernel/cpu.c): the effects on tasks and on livepatch. */
export class CpuHotplug {
	static readonly state = declareState("CpuHotplug", { fields: ["lock"] });

	readonly #sched: Sched;
	readonly #print: Printer;
	/**
	 * cpu_hotplug_lock: cpus_read_lock() and cpus_write_lock() in one, because two readers never hold it at the same
	 * time.
	 */
	readonly lock = new mutex("cpu_hotplug_lock");

	constructor(sched: Sched, dmesg: Dmesg) {
		this.#sched = sched;
		this.#print = new Printer(dmesg, "");
	}

	/** Brings a CPU up: 0, also if it is up already; -EINVAL: there is no such CPU. */
	*cpu_up(id: number): Kernel<number> {
		const cpu = this.#sched.cpus[id];
		if (cpu === undefined) return -EINVAL;
		yield* this.lock.lock();
		if (!cpu.online) {
			this.#print.pr_info(`smpboot: Booting Node 0 Processor ${id} APIC 0x${id.toString(16)}`);
			cpu.online = true;
			yield "cpu_up: set_cpu_online";
		}
		this.lock.unlock();
		return 0;
	}

	/**
	 * Takes a CPU down: a task that is on it, or bound to it, goes on elsewhere. 0, also when it is down already; -EPERM:
	 * CPU 0,
	 * which x86 cannot take down; -EINVAL: there is no such CPU.
	 */
	*cpu_down(id: number): Kernel<number> {
		const cpu = this.#sched.cpus[id];
		if (cpu === undefined) return -EINVAL;
		if (id === 0) return -EPERM;
		yield* this.lock.lock();
		if (cpu.online) {
			this.#moveTasksAway(cpu);
			cpu.online = false;
			this.#print.pr_info(`smpboot: CPU ${id} is now offline`);
			yield "cpu_down: set_cpu_online";
		}
		this.lock.unlock();
		return 0;
	}

	/** migrate_tasks(), select_fallback_rq(). */
	#moveTasksAway(cpu: EmulatedCpu): void {
		for (const task of this.#sched.tasks) {
			if (task.pinned !== cpu.id) continue;
			task.pinned = -1;
			if (!task.kthread) this.#print.pr_info(`process ${task.pid} (${task.comm}) no longer affine to cpu${cpu.id}`);
		}
		this.#sched.switch_to(cpu, cpu.idle);
	}
}
