import { declareState } from "../../base/index.js";
import type { Sched } from "./sched.js";
import { PF_KTHREAD, TASK_IDLE, TASK_INTERRUPTIBLE, type task_struct } from "./task.js";

/** The tasks whose kernel code is TypeScript. There is always one of each kind: a dead task gets a successor. */
export class HostTasks {
	static readonly state = declareState("HostTasks", { fields: ["shell", "kworker"] });

	readonly #sched: Sched;
	/** The administrator's process. */
	shell: task_struct;
	/** The kworker, which runs the work items of the kernel itself. */
	kworker: task_struct;

	constructor(sched: Sched) {
		this.#sched = sched;
		this.shell = this.#shell();
		this.kworker = this.#kworker();
	}

	#shell(): task_struct {
		return this.#sched.addHost("shell", 0, TASK_INTERRUPTIBLE);
	}

	#kworker(): task_struct {
		return this.#sched.addHost("kworker/0:1", PF_KTHREAD, TASK_IDLE);
	}

	/** If `dead` is one of them, a new task takes its place. Locks that the dead task held stay locked. */
	replace(dead: task_struct): void {
		if (dead === this.shell) this.shell = this.#shell();
		if (dead === this.kworker) this.kworker = this.#kworker();
	}
}
