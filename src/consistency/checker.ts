import type { StepKind } from "../linux/lib/index.js";
import type { task_struct } from "../linux/sched/index.js";
import type { Machine } from "../machine/index.js";
import type { Kaddr } from "../memory/index.js";
import { chosenOn } from "./chosen.js";
import { functionsInside } from "./inside.js";
import { type Broken, type JudgedTask, judgeOops, judgeStep, judgeWarnings } from "./judge.js";
import { type FromTo, fromTo, type Look, viewOf } from "./look.js";
import { Looks } from "./looks.js";
import { tuple } from "./view.js";
import type { WatchedFunction } from "./watched.js";

/** A broken invariant, and the point at which the checker found it. */
export interface Violation extends Broken {
	/** The step of kernel code after which it was found; `oops`, `read`: the event between two steps. */
	readonly point: string;
}

/**
 * Judges a machine that runs. It looks at the machine at each point of kernel code, so that a violation is seen at the very step that
 * causes it.
 */
export class InvariantChecker {
	readonly #machine: Machine;
	readonly #functions: readonly WatchedFunction[];
	readonly #looks: Looks;
	readonly #report: (violation: Violation) => void;
	#transition: FromTo | undefined = undefined;
	#look: Look | undefined = undefined;
	#tasks = new Map<task_struct, LiveTask>();
	/** By task, what it ran when `mixed-universe` was told of it: that is told once for as long as it lasts. */
	#mixed = new Map<string, string>();
	#warnings = 0;

	constructor(machine: Machine, functions: readonly WatchedFunction[], report: (violation: Violation) => void) {
		this.#machine = machine;
		this.#functions = functions;
		this.#looks = new Looks(machine, functions);
		this.#report = report;
		machine.observe({
			point: (label, kind) => this.check(label, kind),
			oops: (task, fault, rip) => report({ ...judgeOops(machine, task, fault, rip), point: "oops" }),
			invalidRead: (message) => {
				report({ invariant: "use-after-free", point: "read", task: machine.sched.current.comm, message });
			},
			transition: (what) => {
				if (what === "init") this.#transition = fromTo(machine, functions);
			},
		});
	}

	/** The implementations that `task` would run now, by the name of the function. */
	view(task: task_struct): Record<string, string> {
		const { names } = viewOf(this.#lookNow(), task.patch_state);
		return Object.fromEntries(this.#functions.map(({ name }, i) => [name, names[i]!]));
	}

	#lookNow(): Look {
		return this.#looks.now(this.#transition);
	}

	/** Checks all invariants. `point`: the step of kernel code that has just been made. */
	check(point: string, kind: StepKind = "step"): void {
		const look = this.#lookNow();
		const { sched } = this.#machine;
		// The tasks of the scenario first: a violation of the shell, a kworker or an idle task counts only if none of them has it.
		const own = (task: task_struct) => task.mode === "host" || task.idle;
		const all = [...sched.all()];
		const tasks = [...all.filter((task) => !own(task)), ...all.filter(own)];
		const now = tasks.map((task) => new LiveTask(this.#machine, task));
		if (this.#look !== undefined) {
			const step = { functions: this.#functions, from: this.#look, to: look, point };
			const before = tasks.map((task) => this.#tasks.get(task));
			const names = tasks.map(({ comm }) => comm);
			const broken = judgeStep(step, names, before, now, kind === "done");
			this.#tell(broken, point, (name) => tuple(viewOf(look, now[names.indexOf(name)]!.patch_state)));
		}
		this.checkWarnings(point);
		this.#look = look;
		this.#tasks = new Map(tasks.map((task, i) => [task, now[i]!]));
	}

	/** Tells of WARN_ONs that have fired since the last time, for example in guest code between two points; of equal ones once. */
	checkWarnings(point: string): void {
		const { warnings } = this.#machine.dmesg;
		const fresh = new Set(warnings.slice(this.#warnings));
		for (const broken of judgeWarnings([...fresh])) this.#report({ ...broken, point });
		this.#warnings = warnings.length;
	}

	/** `runs`: the implementations that a task runs. */
	#tell(broken: readonly Broken[], point: string, runs: (task: string) => string): void {
		const mixed = new Map<string, string>();
		for (const one of broken) {
			if (one.invariant === "mixed-universe") {
				const now = runs(one.task!);
				mixed.set(one.task!, now);
				if (this.#mixed.get(one.task!) === now) continue;
			}
			this.#report({ ...one, point });
		}
		this.#mixed = mixed;
	}
}

/** A task as it is now. Its stack is walked when that is asked for. */
class LiveTask implements JudgedTask {
	readonly alive = true;
	readonly exiting = false;
	readonly patch_state: number;
	readonly #machine: Machine;
	readonly #task: task_struct;

	constructor(machine: Machine, task: task_struct) {
		this.patch_state = task.patch_state;
		this.#machine = machine;
		this.#task = task;
	}

	get found(): readonly Kaddr[] {
		return this.#machine.unwinder.walk(this.#task).entries;
	}

	get entries(): readonly Kaddr[] | undefined {
		const trace = this.#machine.unwinder.walk(this.#task);
		return trace.reliable ? trace.entries : undefined;
	}

	get inside(): readonly Kaddr[] {
		return functionsInside(this.#machine, this.entries ?? []).flat();
	}

	get chosen(): Kaddr | undefined {
		return chosenOn(this.#machine, this.#machine.unwinder.walk(this.#task));
	}
}
