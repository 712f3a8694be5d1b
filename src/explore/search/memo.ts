import { KlpemuError } from "../../base/index.js";
import { type Broken, type Look, lookAt } from "../../consistency/index.js";
import type { ArrivalKind, Effect, KernelPlace, SavedWorld, TaskOutcome, TaskState, World } from "../world/index.js";
import { DecisionTree, type Step } from "./decision-tree.js";

/** A state of the whole machine without the tasks, and the way to reach it. */
export interface KernelState extends Look {
	readonly id: number;
	readonly key: string;
	/** Undefined for the first. */
	readonly via: Via | undefined;
	/** The saved state, if it is between two operations. */
	readonly saved: SavedWorld | undefined;
	/** States with the same number look the same to guest code. */
	readonly text: number;
	readonly viewsId: number;
	readonly executableId: number;
	/** The next step of each actor; undefined: it has none. */
	readonly next: readonly (string | undefined)[];
	/** Actors in the middle of a step that do not wait. */
	readonly onCpu: readonly boolean[];
	readonly actorsOnCpu: number;
	/** Of each actor; undefined: it is not in the kernel. */
	readonly inKernel: readonly (KernelPlace | undefined)[];
	/** Actors that wait for klp_mutex, or have no step: they cannot interfere with its holder. */
	readonly outOfTheWay: readonly boolean[];
	/** Slots of the idle tasks that sleep until they are woken. */
	readonly idleAsleep: readonly number[];
	readonly mutexHeld: boolean;
	/** Work for the kworker that may send signals. */
	readonly retries: boolean;
}

interface Via {
	readonly from: KernelState;
	readonly actor: number;
	readonly busy: ReadonlySet<number>;
	readonly late: boolean;
	/** The states of all tasks at that time. */
	readonly tasks: readonly TaskState[];
}

/** One possible result of an actor's next step. */
export interface Outcome {
	readonly to: KernelState;
	/** Slots whose task has changed, with its new state. */
	readonly changes: readonly (readonly [number, TaskState])[];
	/** True if it has read or changed tasks. */
	readonly touchesTasks: boolean;
	readonly label: string;
	readonly kind: ArrivalKind;
	/** Slots of tasks that were on a CPU when it read on_cpu. */
	readonly busy: readonly number[];
	readonly broken: readonly Broken[];
}

/** True if a task can be on a CPU when an actor reads on_cpu. */
export interface BusyRule {
	mayBeBusy(kernel: KernelState, tasks: readonly TaskState[], slot: number, actor: number): readonly boolean[];
}

/** One execution of a step. */
interface Execution {
	/** Undefined: the actor must wait. */
	readonly to: KernelState | undefined;
	readonly effect: Effect;
}

/**
 * The possible moves of the actors of a world, computed once for each situation. A step of kernel code depends on the
 * kernel's state and on the values that it reads from tasks: all states that agree in these share one execution. In the
 * same way, the moves of a task depend on its own state and on the part of the kernel's state that guest code can see.
 */
export class Memo {
	readonly world: World;
	readonly states: KernelState[] = [];
	readonly #byKey = new Map<string, KernelState>();
	readonly #texts = new Map<string, number>();
	readonly #viewIds = new Map<string, number>();
	readonly #executables = new Map<string, number>();
	/** By state, actor and late. */
	readonly #steps = new Map<number, DecisionTree<Execution>>();
	readonly #taskMoves = new Map<number, Map<number, TaskOutcome>>();
	/** The kernel state of the world; undefined: a task has died in it, and the search does not continue from there. */
	#live: KernelState | undefined;
	/** By state of a task, the moves that were made from it. */
	readonly #made = new Map<
		TaskState,
		{ readonly from: KernelState; readonly slot: number; readonly outcome: TaskOutcome }[]
	>();
	/** Number of real executions of kernel code and guest code. */
	readonly executed = { kernel: 0, guest: 0, replayed: 0 };

	/** The initial states of all tasks. */
	readonly firstTasks: readonly TaskState[];

	constructor(world: World) {
		this.world = world;
		this.firstTasks = world.allLoaded();
		this.#live = this.#intern(undefined);
	}

	get first(): KernelState {
		return this.states[0]!;
	}

	/** The state that the world is in now. */
	#intern(via: Via | undefined): KernelState {
		const { world } = this;
		const guestKey = world.guestKey();
		const key = world.kernelKey(guestKey);
		const known = this.#byKey.get(key);
		if (known !== undefined) return known;
		const { machine, functions } = world.model;
		const { klp, workqueue } = machine;
		const look = lookAt(machine, functions, world.transition);
		const state: KernelState = {
			...look,
			id: this.states.length,
			key,
			via,
			saved: world.quiet ? world.save() : undefined,
			text: number(this.#texts, guestKey),
			viewsId: number(this.#viewIds, JSON.stringify(look.views.map(({ codes }) => codes))),
			executableId: number(this.#executables, look.executable.join()),
			next: world.actors.map((_, index) => world.nextStep(index)),
			onCpu: world.actors.map(({ onCpu }) => onCpu),
			actorsOnCpu: world.actors.filter(({ onCpu }) => onCpu).length,
			inKernel: world.actors.map((_, index) => world.inKernel(index)),
			outOfTheWay: world.actors.map(({ wait }, index) => {
				// Actions of tasks themselves (fork, exit) change no kernel state but the list of tasks.
				const itself = world.model.admins[index]?.of !== undefined;
				return itself || wait?.lock === klp.klp_mutex || world.nextStep(index) === undefined;
			}),
			mutexHeld: klp.klp_mutex.locked,
			idleAsleep: world.idleAsleep,
			retries: klp.isTransitionWork(workqueue.pending[0] ?? workqueue.delayed[0]?.work),
		};
		this.states.push(state);
		this.#byKey.set(key, state);
		return state;
	}

	/** Brings the world to a state: from its present state, or from the last saved state before the wanted one. */
	goto(target: KernelState): void {
		if (this.#live === target) return;
		const way: KernelState[] = [];
		let state = target;
		while (state !== this.#live && state.saved === undefined) {
			way.push(state);
			state = state.via!.from;
		}
		if (state !== this.#live) this.world.restore(state.saved!);
		this.#live = state;
		for (const next of way.reverse()) {
			const { actor, busy, late, tasks } = next.via!;
			this.world.loadAll(tasks);
			this.world.moveActor(actor, busy, late);
			this.executed.replayed++;
			this.#live = next;
		}
		const last = way.at(-1);
		if (last !== undefined && this.world.kernelKey() !== last.key) {
			throw new KlpemuError("EXPLORE_NONDETERMINISM", "the same steps have led to another state than the first time", {
				hint: "kernel code or a design depends on something that the explorer does not save; please report it",
			});
		}
	}

	/** The possible results of an actor's next step; empty: it must wait. */
	step(from: KernelState, actor: number, late: boolean, tasks: readonly TaskState[], rule: BusyRule): Outcome[] {
		const key = 2 * (from.id * this.world.actors.length + actor) + Number(late);
		let tree = this.#steps.get(key);
		if (tree === undefined) {
			tree = new DecisionTree();
			this.#steps.set(key, tree);
		}
		const outcomes: Outcome[] = [];
		for (const { to, effect } of tree.find(new ActorStep(this, from, actor, late, tasks, rule))) {
			if (to !== undefined) outcomes.push(this.#outcome(to, effect, tasks));
		}
		return outcomes;
	}

	/** The result of an execution for a state with these tasks. */
	#outcome(to: KernelState, effect: Effect, tasks: readonly TaskState[]): Outcome {
		const changes = new Map<number, TaskState>(effect.replaced);
		for (const [slot, written] of effect.writes) {
			const before = tasks[slot]!;
			if (changes.has(slot) || !before.alive) continue;
			const after = this.world.states.withFields(before, written);
			if (after !== before) changes.set(slot, after);
		}
		return {
			to,
			changes: [...changes],
			touchesTasks: effect.reads.length > 0 || changes.size > 0,
			label: effect.label,
			kind: effect.kind,
			busy: effect.reads.filter(({ field, value }) => field === "on_cpu" && value === true).map(({ slot }) => slot),
			broken: effect.broken,
		};
	}

	/** Executes a step. */
	execute(via: Via): Execution {
		this.goto(via.from);
		this.world.loadAll(via.tasks);
		const effect = this.world.moveActor(via.actor, via.busy, via.late);
		this.executed.kernel++;
		if (effect.kind === "blocked") return { to: undefined, effect };
		if (effect.broken.some(({ died }) => died)) {
			// No move is made from here, and the world may not be fit for another one.
			this.#live = undefined;
			return { to: via.from, effect };
		}
		const to = this.#intern(via);
		this.#live = to;
		return { to, effect };
	}

	/** The result of a task's next move. */
	moveTask(from: KernelState, slot: number, task: TaskState): TaskOutcome {
		let byTask = this.#taskMoves.get(from.text * this.world.names.length + slot);
		if (byTask === undefined) {
			byTask = new Map();
			this.#taskMoves.set(from.text * this.world.names.length + slot, byTask);
		}
		let outcome = byTask.get(task.id);
		if (outcome === undefined) {
			outcome = this.#executeTask(from, slot, task);
			byTask.set(task.id, outcome);
		}
		return outcome;
	}

	#executeTask(from: KernelState, slot: number, task: TaskState): TaskOutcome {
		const outcome = this.#runTask(from, slot, task, 0);
		const made = this.#made.get(task) ?? [];
		made.push({ from, slot, outcome });
		this.#made.set(task, made);
		for (let context = 1; context < task.contexts.length; context++) this.#try(from, slot, task, context, outcome);
		return outcome;
	}

	#runTask(from: KernelState, slot: number, task: TaskState, context: number): TaskOutcome {
		const { world } = this;
		// If the text is the same, the world need not be brought to the state, except if tasks are created or removed.
		if (this.#live?.text !== from.text || !world.isThere(slot)) this.goto(from);
		world.load(slot, task);
		const outcome = world.moveTask(slot, context);
		this.executed.guest++;
		if (outcome.broken.length > 0) this.#live = undefined;
		return outcome;
	}

	/**
	 * The next place of a task must not depend on data in registers and on the stack, because states do not hold them.
	 */
	#try(from: KernelState, slot: number, task: TaskState, context: number, expected: TaskOutcome): void {
		const outcome = this.#runTask(from, slot, task, context);
		if (outcome.state === expected.state) return;
		const where = `${this.world.names[slot]} ${expected.label}, or ${outcome.label}`;
		throw new KlpemuError("EXPLORE_DATA", `where a task goes depends on data that states do not hold: ${where}`, {
			hint: "a loop around a patched function, or a branch on a value that others change, cannot be explored",
		});
	}

	/** Tries all contexts that were added after the moves of their states were made. */
	checkContexts(): void {
		const { late } = this.world.states;
		for (let one = late.pop(); one !== undefined; one = late.pop()) {
			const { state, context } = one;
			for (const { from, slot, outcome } of this.#made.get(state) ?? []) this.#try(from, slot, state, context, outcome);
		}
	}
}

function number(ids: Map<string, number>, key: string): number {
	const known = ids.get(key);
	if (known !== undefined) return known;
	ids.set(key, ids.size);
	return ids.size - 1;
}

/** The next step of an actor, in one state. */
class ActorStep implements Step<Execution> {
	readonly tasks: readonly TaskState[];
	readonly #memo: Memo;
	readonly #from: KernelState;
	readonly #actor: number;
	readonly #late: boolean;
	readonly #rule: BusyRule;

	constructor(
		memo: Memo,
		from: KernelState,
		actor: number,
		late: boolean,
		tasks: readonly TaskState[],
		rule: BusyRule,
	) {
		this.tasks = tasks;
		this.#memo = memo;
		this.#from = from;
		this.#actor = actor;
		this.#late = late;
		this.#rule = rule;
	}

	mayBeBusy(slot: number): readonly boolean[] {
		return this.#rule.mayBeBusy(this.#from, this.tasks, slot, this.#actor);
	}

	execute(busy: ReadonlySet<number>): { readonly reads: Effect["reads"]; readonly value: Execution } {
		const via = { from: this.#from, actor: this.#actor, busy, late: this.#late, tasks: [...this.tasks] };
		const value = this.#memo.execute(via);
		return { reads: value.effect.reads, value };
	}
}
