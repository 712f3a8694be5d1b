/** Makes the moves of a schedule on the explorer's world, and records each step. */
import { type Broken, judgeStep, judgeTask, type Look, lookAt } from "../../../src/consistency/index.js";
import { type Model, type Move, World } from "../../../src/explore/index.js";
import type { task_struct } from "../../../src/linux/sched/index.js";
import type { BrokenAt, Lane, RecordedEvent } from "../shared/recording.js";
import { Camera, type Known } from "./camera.js";

/** How a step ended. `blocked`: nothing happened. */
export interface Made {
	readonly kind: "point" | "done" | "blocked" | "died";
	readonly label: string;
}

const BLOCKED: Made = { kind: "blocked", label: "" };

/** Steps of a world, each recorded. */
export class Player {
	readonly world: World;
	readonly camera: Camera;
	readonly events: RecordedEvent[] = [];
	readonly lanes: readonly Lane[];
	readonly #model: Model;
	#look: Look;
	/** The violations that hold on: messages, each with its task. */
	#lasting: ReadonlyMap<string, string | undefined> = new Map();

	/** `points`: of the schedule whose moves are made (see Schedule.points). */
	constructor(model: Model, points: readonly string[] = []) {
		this.#model = model;
		this.world = new World(model, points);
		this.camera = new Camera(model.machine, model.functions);
		this.lanes = lanesOf(this.world, model);
		this.#look = this.#lookNow();
		this.#take();
	}

	#lookNow(): Look {
		return lookAt(this.#model.machine, this.#model.functions, this.world.transition);
	}

	#take(): void {
		const { sched } = this.#model.machine;
		const there = new Map<string, task_struct>();
		for (const task of [...sched.exiting, ...sched.all()]) there.set(task.comm, task);
		for (const actor of this.world.actors) there.set(actor.name, actor.task);
		const tasks = new Map(this.lanes.map(({ name }) => [name, there.get(name)]));
		this.camera.take(this.events.length, tasks, (name) => this.#known(name), this.#look);
	}

	#known(name: string): Known {
		const actor = this.world.actors.findIndex((one) => one.name === name);
		if (actor >= 0) return { step: this.world.inKernel(actor) };
		const slot = this.world.names.indexOf(name);
		return { state: slot < 0 ? undefined : this.world.loaded(slot) };
	}

	/** Index of an actor by its name; -1: it is a task. */
	actor(name: string): number {
		return this.world.actors.findIndex((one) => one.name === name);
	}

	/** A task can run. */
	canMove(name: string): boolean {
		const slot = this.world.names.indexOf(name);
		if (slot < 0 || !this.world.isThere(slot)) return false;
		const state = this.world.loaded(slot);
		return state.alive && state.fields.held !== true;
	}

	/** One move of a task. */
	moveTask(name: string, move: number): Made {
		if (!this.canMove(name)) return BLOCKED;
		const slot = this.world.slot(name);
		const before = this.world.loaded(slot);
		const from = this.#look;
		const { state, label, broken } = this.world.moveTask(slot);
		this.#look = this.#lookNow();
		const step = { functions: this.#model.functions, from, to: this.#look };
		const judged = this.world.judged.includes(name) ? judgeTask(step, name, before, state) : [];
		this.#record(name, "", label, false, move, [...broken, ...judged]);
		return { kind: state.alive ? "point" : "died", label };
	}

	/** One step of an actor: to its next point. */
	moveActor(actor: number, move: number, busy: ReadonlySet<number> = new Set(), late = false): Made {
		const title = this.world.nextStep(actor);
		if (title === undefined) return BLOCKED;
		const from = this.#look;
		const before = this.world.allLoaded();
		const effect = this.world.moveActor(actor, busy, late);
		if (effect.kind === "blocked") return BLOCKED;
		this.#look = this.#lookNow();
		const step = { functions: this.#model.functions, from, to: this.#look };
		const { judged } = this.world;
		const broken = judgeStep(step, judged, before, this.world.allLoaded(), effect.kind === "done");
		const label = effect.kind === "end" ? "ends" : effect.label;
		const quiet = effect.quiet || effect.kind === "place";
		this.#record(this.world.actors[actor]!.name, title, label, quiet, move, [...effect.broken, ...broken]);
		return { kind: effect.kind === "end" ? "done" : "point", label: effect.label };
	}

	#record(who: string, title: string, label: string, quiet: boolean, move: number, broken: readonly Broken[]): void {
		// What lasts is told once. A move of a task judges that task only.
		const judged = title === "" ? new Set<string | undefined>([who]) : undefined;
		const rest = [...this.#lasting].filter(([, task]) => judged !== undefined && !judged.has(task));
		const kept = broken.filter(({ message }) => !this.#lasting.has(message));
		this.#lasting = new Map([...rest, ...broken.map(({ message, task }) => [message, task] as const)]);
		this.events.push({ who, title, label, quiet, move, broken: kept.map(brokenAt) });
		this.#take();
	}

	/** The moves of a schedule, as they are. Returns why it could not go on; undefined: it has made all of them. */
	play(moves: readonly Move[]): string | undefined {
		for (const [index, { who, steps, busy, late }] of moves.entries()) {
			const actor = this.actor(who);
			if (actor < 0) {
				if (this.moveTask(who, index).kind === "blocked") return `move ${index + 1}: ${who} cannot make it`;
				continue;
			}
			for (let step = 0; step < steps; step++) {
				const slots = busy.filter((entry) => entry.step === step).map(({ task }) => this.world.slot(task));
				const made = this.moveActor(actor, index, new Set(slots), late && step === 0);
				if (made.kind === "blocked") return `move ${index + 1}: ${who} cannot make it, it waits or has nothing to do`;
			}
		}
		return undefined;
	}
}

function brokenAt({ invariant, message, task }: Broken): BrokenAt {
	return { invariant, message, task };
}

/** Administrators, the kworker, the scenario's tasks in the order of the file, idle tasks. */
function lanesOf(world: World, model: Model): Lane[] {
	const idle = model.machine.sched.cpus.map(({ idle: { comm } }) => comm);
	const lanes: Lane[] = world.actors.map(({ name }) => ({ name, kind: "actor" }));
	for (const { name } of model.tasks) lanes.push({ name, kind: "task" });
	for (const name of idle) lanes.push({ name, kind: "idle" });
	return lanes;
}
