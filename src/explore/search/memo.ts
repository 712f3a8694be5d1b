import { KlpemuError } from "../../base/index.js";
import { type Invariant, type Look, lookAt } from "../../consistency/index.js";
import type { Effect, GuestContext, TaskOutcome, TaskState, World } from "../world/index.js";
import { type Row, TASK, TaskColumns, taskBits, tasksOf } from "./columns.js";
import { DecisionTree, type Step } from "./decision-tree.js";
import { Judge } from "./judge.js";
import type { KernelState, TaskMove, Via } from "./kernel-state.js";
import { Loops } from "./loops.js";
import { Outcome } from "./outcome.js";
import type { Position } from "./trace.js";

/** Decides about `on_cpu`. */
export interface BusyRule {
	/** Bits of {@link ON_CPU}. */
	mayBeBusy(kernel: KernelState, position: Position, slot: number, actor: number): number;
}

/** One execution of a step. */
interface Execution {
	/** Undefined: the actor must wait. */
	readonly outcome: Outcome | undefined;
	readonly reads: Effect["reads"];
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
	readonly #looks = new Map<string, number>();
	readonly #transitions = new Map<unknown, number>();
	readonly #columns: TaskColumns;
	readonly #nonpreemptible: boolean;
	readonly judge: Judge;
	readonly #loops: Loops;
	/** By kernel state, then by actor and late. */
	readonly #steps: DecisionTree<Execution>[][] = [];
	/** By text, then by state of the task. */
	readonly #taskMoves: Map<number, TaskMove>[] = [];
	/** The kernel state of the world; undefined: a task has died in it, and the search does not continue from there. */
	#live: KernelState | undefined;
	/** The states that the world was brought to again, by the steps that first led there. */
	readonly #again = new Set<KernelState>();
	/** By state of a task, the moves that were made from it. */
	readonly #made = new Map<
		TaskState,
		{ readonly from: KernelState; readonly slot: number; readonly outcome: TaskOutcome }[]
	>();
	/** Number of real executions of kernel code and guest code. */
	readonly executed = { kernel: 0, guest: 0, replayed: 0 };

	/** The initial state. */
	readonly first: Row;

	/** `invariants`: only these count. */
	constructor(world: World, invariants: ReadonlySet<Invariant>) {
		this.world = world;
		this.#columns = new TaskColumns(world.states.all);
		this.#nonpreemptible = world.model.machine.sched.preemption === "none";
		this.judge = new Judge(world, invariants);
		this.#loops = new Loops(world, ({ from, slot, state }, context) => this.#runTask(from, slot, state, context));
		this.#live = this.#intern(undefined);
		this.first = Int32Array.from([this.#live.id, ...world.allLoaded().map(({ id }) => id)]);
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
			look: number(this.#looks, this.#lookKey(look)),
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

	/** What the judge reads, as text. */
	#lookKey({ views, fromTo, inTransition, executable }: Look): string {
		const transition = number(this.#transitions, fromTo);
		return JSON.stringify([views.map(({ codes }) => codes), transition, inTransition, executable]);
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
		// The first time that it is made again; every time would take as long as all the rest.
		if (way.length === 0 || this.#again.has(target)) return;
		this.#again.add(target);
		// What is found out about memory on the way takes effect with the next exploration only.
		if (this.world.kernelKey() !== target.key) {
			throw new KlpemuError("EXPLORE_NONDETERMINISM", "the same steps have led to another state than the first time", {
				hint: "kernel code or a design depends on something that the explorer does not save; please report it",
			});
		}
	}

	/** The possible results of an actor's next step; empty: it must wait. */
	step(from: KernelState, actor: number, late: boolean, position: Position, rule: BusyRule): Outcome[] {
		this.#steps[from.id] ??= [];
		const trees = this.#steps[from.id]!;
		const index = 2 * actor + Number(late);
		let tree = trees[index];
		if (tree === undefined) {
			tree = new DecisionTree(this.#columns);
			trees[index] = tree;
		}
		const outcomes: Outcome[] = [];
		for (const { outcome } of tree.find(new ActorStep(this, from, actor, late, position, rule))) {
			if (outcome !== undefined) outcomes.push(outcome);
		}
		return outcomes;
	}

	/** Executes a step. */
	execute(via: Via): Execution {
		this.goto(via.from);
		this.world.loadAll(via.tasks);
		const effect = this.world.moveActor(via.actor, via.busy, via.late);
		this.executed.kernel++;
		const { reads } = effect;
		if (effect.kind === "blocked") return { outcome: undefined, reads };
		const died = effect.broken.some((broken) => broken.died);
		// No move is made from where a task has died, and the world may not be fit for another one.
		const to = died ? via.from : this.#intern(via);
		this.#live = died ? undefined : to;
		const outcome = new Outcome(via.from, to, effect, this.world.states, (...change) => {
			return this.judge.isChangeFine(...change);
		});
		return { outcome, reads };
	}

	/** The next move of a task; `task`: the number of its state. */
	moveTask(from: KernelState, slot: number, task: number): TaskMove {
		this.#taskMoves[from.text] ??= new Map();
		const moves = this.#taskMoves[from.text]!;
		const known = moves.get(task);
		if (known !== undefined) return known;
		const move = this.#makeMove(from, slot, task, moves);
		this.#makeNextMoves(from, slot, move, moves);
		return move;
	}

	#makeMove(from: KernelState, slot: number, task: number, moves: Map<number, TaskMove>): TaskMove {
		const outcome = this.#executeTask(from, slot, this.world.states.all[task]!);
		const move = { to: outcome.state.id, outcome, fineIn: [] };
		moves.set(task, move);
		return move;
	}

	/**
	 * Makes the moves that follow while the task keeps its CPU. The search will need them, and it takes longer to bring the
	 * world here again. An error in them counts when the search comes to that move.
	 */
	#makeNextMoves(from: KernelState, slot: number, first: TaskMove, moves: Map<number, TaskMove>): void {
		const wanted = TASK.canMove | TASK.inKernel;
		const goesOn = ({ state, broken }: TaskOutcome) =>
			broken.length === 0 && (taskBits(state, this.#nonpreemptible) & wanted) === wanted;
		try {
			let move = first;
			while (goesOn(move.outcome) && !moves.has(move.to)) move = this.#makeMove(from, slot, move.to, moves);
		} catch (error) {
			if (!(error instanceof KlpemuError)) throw error;
			this.#live = undefined;
		}
	}

	#executeTask(from: KernelState, slot: number, task: TaskState): TaskOutcome {
		const outcome = this.#runTask(from, slot, task);
		const made = this.#made.get(task) ?? [];
		made.push({ from, slot, outcome });
		this.#made.set(task, made);
		for (let context = 1; context < task.contexts.length; context++) this.#try(from, slot, task, context, outcome);
		return outcome;
	}

	#runTask(from: KernelState, slot: number, task: TaskState, context?: GuestContext): TaskOutcome {
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
	 * The next place of a task must not depend on data in registers and on the stack that states do not hold. If it does, the words that
	 * decide are looked for.
	 */
	#try(from: KernelState, slot: number, task: TaskState, context: number, expected: TaskOutcome): void {
		const { [context]: other, 0: first } = task.contexts;
		const outcome = this.#runTask(from, slot, task, other);
		if (outcome.state === expected.state) return;
		this.#loops.tellApart({ from, slot, state: task }, first!, other!, [expected.label, outcome.label]);
	}

	/** Tries all contexts that were added after the moves of their states were made. */
	checkContexts(): void {
		const { late } = this.world.states;
		while (late.length > 0) {
			const tries = late.splice(0).flatMap(({ state, context }) => {
				return (this.#made.get(state) ?? []).map((made) => ({ ...made, state, context }));
			});
			// The world need not go to another state while the text is the same.
			tries.sort((a, b) => a.from.text - b.from.text);
			for (const { from, slot, state, context, outcome } of tries) this.#try(from, slot, state, context, outcome);
		}
		for (const { state, context } of this.world.states.suspects.splice(0)) {
			const made = this.#made.get(state)?.[0];
			if (made === undefined) continue;
			this.#loops.follow({ ...made, state }, context);
			this.#live = undefined;
		}
	}
}

function number<T>(ids: Map<T, number>, key: T): number {
	const known = ids.get(key);
	if (known !== undefined) return known;
	ids.set(key, ids.size);
	return ids.size - 1;
}

/** The next step of an actor, in one state. */
class ActorStep implements Step<Execution> {
	readonly position: Position;
	readonly #memo: Memo;
	readonly #from: KernelState;
	readonly #actor: number;
	readonly #late: boolean;
	readonly #rule: BusyRule;

	constructor(memo: Memo, from: KernelState, actor: number, late: boolean, position: Position, rule: BusyRule) {
		this.position = position;
		this.#memo = memo;
		this.#from = from;
		this.#actor = actor;
		this.#late = late;
		this.#rule = rule;
	}

	mayBeBusy(slot: number): number {
		return this.#rule.mayBeBusy(this.#from, this.position, slot, this.#actor);
	}

	execute(busy: ReadonlySet<number>): { readonly reads: Effect["reads"]; readonly value: Execution } {
		const tasks = tasksOf(this.#memo.world.states, this.position.row);
		const value = this.#memo.execute({ from: this.#from, actor: this.#actor, busy, late: this.#late, tasks });
		return { reads: value.reads, value };
	}
}
