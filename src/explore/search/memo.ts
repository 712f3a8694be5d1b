import { KlpemuError } from "../../base/index.js";
import { type Invariant, type Look, lookAt } from "../../consistency/index.js";
import type { Effect, GuestContext, TaskOutcome, TaskState, World } from "../world/index.js";
import { type Row, TASK, TaskColumns, taskBits, tasksOf } from "./columns.js";
import type { Common } from "./common.js";
import { DecisionTree, type Step } from "./decision-tree.js";
import type { Executions, MadeStep } from "./executions.js";
import { Judge } from "./judge.js";
import type { KernelContent, KernelState, TaskMove, Via } from "./kernel-state.js";
import { Loops } from "./loops.js";
import { Outcome } from "./outcome.js";
import type { ExplorationMoves } from "./plain-moves.js";
import type { ExplorationSteps, Place } from "./plain-steps.js";
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

/** Is told of all steps of actors that are executed. */
export interface Recorder {
	/** The next one begins: what is noted up to here, on the way to the state, belongs to others. */
	begin(): void;
	/** `to`: undefined if the actor must wait, or a task has died. */
	step(via: Via, effect: Effect, to: KernelState | undefined): void;
}

/** Where executions come from and go to, besides the world. */
export interface MemoOptions {
	/** What others have executed. */
	readonly executions?: Executions | undefined;
	/** Under other designs, too. */
	readonly common?: Common | undefined;
	readonly recorder?: Recorder | undefined;
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
	readonly #transitions = new Map<string | undefined, number>();
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

	readonly #executions: Executions | undefined;
	readonly #plainMoves: ExplorationMoves | undefined;
	readonly #plainSteps: ExplorationSteps | undefined;
	readonly #recorder: Recorder | undefined;

	/** `invariants`: only these count. */
	constructor(world: World, invariants: ReadonlySet<Invariant>, options: MemoOptions = {}) {
		const { executions, common, recorder } = options;
		this.world = world;
		this.#executions = executions;
		this.#plainMoves = common?.moves.begin(world);
		this.#plainSteps = this.#plainMoves && common!.steps.begin(world, this.#plainMoves);
		this.#recorder = recorder;
		this.#columns = new TaskColumns(world.states.all);
		this.#nonpreemptible = world.model.machine.sched.preemption === "none";
		this.judge = new Judge(world, invariants);
		// The world has to be where the loop is.
		this.#loops = new Loops(world, ({ from, slot, state }, context = state.contexts[0]!) => {
			this.executed.guest++;
			return this.#makeTaskMove(from, slot, state, context);
		});
		this.#live = this.#intern(undefined);
		this.#plainSteps?.start(this.#live);
		this.first = Int32Array.from([this.#live.id, ...world.allLoaded().map(({ id }) => id)]);
	}

	/** The state that the world is in now. */
	#intern(via: Via | undefined): KernelState {
		const { world } = this;
		const guest = world.guestKey();
		const key = world.kernelKey(guest);
		const state = this.#byKey.get(key) ?? this.add(this.#content(key, guest), via);
		this.#save(state);
		shorten(state, via);
		this.#plainMoves?.arrive(state);
		return state;
	}

	#content(key: string, guest: string): KernelContent {
		const { world } = this;
		const { machine, functions } = world.model;
		const { klp, workqueue } = machine;
		return {
			...lookAt(machine, functions, world.transition),
			key,
			guest,
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
	}

	/** The state with this key, which was reached before. */
	known(key: string): KernelState {
		return this.#byKey.get(key)!;
	}

	/** The state with this content. It gets a number, unless it is known. */
	add(content: KernelContent, via: Via | undefined): KernelState {
		const known = this.#byKey.get(content.key);
		if (known !== undefined) return known;
		const state: KernelState = {
			...content,
			id: this.states.length,
			via,
			distance: via === undefined ? 0 : via.from.distance + 1,
			saved: undefined,
			text: number(this.#texts, content.guest),
			look: number(this.#looks, this.#lookKey(content)),
		};
		this.states.push(state);
		this.#byKey.set(content.key, state);
		return state;
	}

	/** What the judge reads, as text. */
	#lookKey({ views, fromTo, inTransition, executable }: Look): string {
		const transition = number(this.#transitions, JSON.stringify(fromTo));
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
			this.#save(next);
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

	/** Saves the world in this state, if that is possible and was not done. */
	#save(state: KernelState): void {
		if (state.saved !== undefined || !this.world.quiet) return;
		state.saved = this.world.save();
		state.distance = 0;
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

	/** Executes a step, unless somebody else has. */
	execute(via: Via): Execution {
		const known = this.#executions?.step(via) ?? this.#plainSteps?.find(via);
		const { effect, to } = known === undefined ? this.#makeStep(via) : this.#enter(via, known);
		this.executed.kernel++;
		const { reads } = effect;
		if (effect.kind === "blocked") return { outcome: undefined, reads };
		const outcome = new Outcome(via.from, to ?? via.from, effect, this.world.states, (...change) => {
			return this.judge.isChangeFine(...change);
		});
		return { outcome, reads };
	}

	/** `to`: undefined if the actor must wait, or a task has died. */
	#makeStep(via: Via): { readonly effect: Effect; readonly to: KernelState | undefined } {
		this.goto(via.from);
		this.world.loadAll(via.tasks);
		this.#recorder?.begin();
		this.#plainSteps?.begin();
		const effect = this.world.moveActor(via.actor, via.busy, via.late);
		this.#plainSteps?.end();
		const blocked = effect.kind === "blocked";
		const died = effect.broken.some((broken) => broken.died);
		// No move is made from where a task has died, and the world may not be fit for another one.
		const to = blocked || died ? undefined : this.#intern(via);
		if (!blocked) this.#live = to;
		this.#recorder?.step(via, effect, to);
		this.#plainSteps?.add(via, effect, to);
		return { effect, to };
	}

	#enter(
		via: Via,
		{ effect, to, place }: MadeStep & { readonly place?: Place | undefined },
	): { readonly effect: Effect; readonly to: KernelState | undefined } {
		if (to === undefined) return { effect, to };
		const state = this.add(to, via);
		shorten(state, via);
		if (place !== undefined) this.#plainSteps!.enter(state, place);
		return { effect, to: state };
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
		try {
			let move = first;
			while (this.keepsCpu(move.outcome) && !moves.has(move.to)) move = this.#makeMove(from, slot, move.to, moves);
		} catch (error) {
			if (!(error instanceof KlpemuError)) throw error;
			this.#live = undefined;
		}
	}

	/** The task will be the one that makes the next move on its CPU. */
	keepsCpu({ state, broken }: TaskOutcome): boolean {
		const wanted = TASK.canMove | TASK.inKernel;
		return broken.length === 0 && (taskBits(state, this.#nonpreemptible) & wanted) === wanted;
	}

	#executeTask(from: KernelState, slot: number, task: TaskState): TaskOutcome {
		const outcome = this.#runTask(from, slot, task);
		const made = this.#made.get(task) ?? [];
		made.push({ from, slot, outcome });
		this.#made.set(task, made);
		for (let context = 1; context < task.contexts.length; context++) this.#try(from, slot, task, context, outcome);
		return outcome;
	}

	/** Lets a task make a move, unless an exploration of another design has. */
	#runTask(from: KernelState, slot: number, task: TaskState, context = task.contexts[0]!): TaskOutcome {
		const known = this.#plainMoves?.find(from, slot, task, context);
		this.executed.guest++;
		return known ?? this.#makeTaskMove(from, slot, task, context);
	}

	#makeTaskMove(from: KernelState, slot: number, task: TaskState, context: GuestContext): TaskOutcome {
		const { world } = this;
		// If the text is the same, the world need not be brought to the state, except if tasks are created or removed.
		if (this.#live?.text !== from.text || !world.isThere(slot)) this.goto(from);
		world.load(slot, task);
		const outcome = world.moveTask(slot, context);
		if (outcome.broken.length > 0) this.#live = undefined;
		this.#plainMoves?.add(from, task, context, outcome);
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
		while (this.#tryLate());
		for (const { state, context } of this.world.states.suspects.splice(0)) {
			const made = this.#made.get(state)?.[0];
			if (made === undefined) continue;
			this.#loops.follow({ ...made, state }, context);
			this.#live = undefined;
		}
	}

	/** The first part of that. False: there are none. */
	#tryLate(): boolean {
		const late = this.world.states.late.splice(0);
		const tries = late.flatMap(({ state, context }) => {
			return (this.#made.get(state) ?? []).map((made) => ({ ...made, state, context }));
		});
		// The world need not go to another state while the text is the same.
		tries.sort((a, b) => a.from.text - b.from.text);
		for (const { from, slot, state, context, outcome } of tries) this.#try(from, slot, state, context, outcome);
		return late.length > 0;
	}
}

/** `via`: a step that leads to the state, perhaps on a shorter way. */
function shorten(state: KernelState, via: Via | undefined): void {
	if (via === undefined || via.from.distance + 1 >= state.distance) return;
	state.via = via;
	state.distance = via.from.distance + 1;
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
