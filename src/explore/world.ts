import { KlpemuError } from "../base/index.js";
import { type Broken, type NamedView, promisedView, viewFor } from "../consistency/index.js";
import { KLP_TRANSITION_IDLE, KLP_TRANSITION_PATCHED } from "../linux/klp/index.js";
import { Dmesg, type Kernel, type Point, Printer, type Wait } from "../linux/lib/index.js";
import { Executor, Sched, TASK_RUNNING, task_struct } from "../linux/sched/index.js";
import { LAYOUT } from "../machine/index.js";
import { Memory, PAGE_SIZE, PERM, type Region, type SavedMemory, toU64 } from "../memory/index.js";
import { ObjectGraph, restoreGraph, type SavedGraph, type Special } from "./graph.js";
import { Guest } from "./guest.js";
import type { Model, ModelTask } from "./model.js";
import { captureContext, TASK_FIELDS, type TaskField, type TaskState, TaskStates } from "./task-state.js";

/** A read of a task by kernel code. `on_cpu` is not state: whoever may be on a CPU may also not be. */
export interface Read {
	readonly slot: number;
	readonly field: TaskField | "on_cpu" | "entries";
	readonly value: unknown;
}

/** What a step of kernel code did, as far as it concerns tasks. */
export interface Effect {
	readonly reads: readonly Read[];
	/** Fields written, by slot. */
	readonly writes: ReadonlyMap<number, Partial<Record<TaskField, unknown>>>;
	/** Tasks that are there now and were not, or the reverse: their whole new state. */
	readonly replaced: ReadonlyMap<number, TaskState>;
	/** Where the actor is now. */
	readonly label: string;
	/** A {@link place} of a loop: nothing has happened. */
	readonly isPlace: boolean;
	/** It could not go on. */
	readonly blocked: boolean;
	readonly broken: readonly Broken[];
}

interface Actor {
	readonly name: string;
	readonly task: task_struct;
	/** Index of the step it is at. */
	index: number;
	/** Of the kworker, the work that it is at. */
	work: string | undefined;
	code: Kernel<unknown> | undefined;
	/** Where it waits. */
	wait: Wait | undefined;
	/** Where in its step it is: the points it has passed, loops reduced to their last turn. */
	path: string[];
}

export interface SavedWorld {
	readonly graph: SavedGraph;
	readonly memory: SavedMemory;
	readonly indexes: readonly number[];
	readonly before: NamedView | undefined;
	readonly after: NamedView | undefined;
	readonly sites: readonly number[];
}

/** Moves that a kthread may need for its first round. */
const KTHREAD_MOVES = 10_000;
/** The steps of the kworker are the work that is waiting. */
export const KWORKER = "kworker";
/** klp_transition_work_fn() runs for the 15th time without success: it sends signals. */
export const LATE = 15;

/**
 * A machine whose every move is somebody's decision: which actor of the kernel makes its next step, which task runs to the next
 * point that somebody else can see. It can be put back to any state that it was in between two operations.
 */
export class World {
	readonly model: Model;
	readonly states = new TaskStates();
	/** Names of all tasks: first those of the model, then those of the administrators, then idle tasks. */
	readonly slots: readonly string[];
	/** Those of them that invariants are about: the scenario's tasks. Administrators and idle tasks run no patched function. */
	readonly judged: readonly string[];
	readonly actors: readonly Actor[];
	readonly guest: Guest;
	/** What is loaded into the machine, by slot. */
	readonly loaded: (TaskState | undefined)[] = [];
	/** During a transition: what everybody ran before it, and what the design promises for after it. */
	before: NamedView | undefined;
	after: NamedView | undefined;

	readonly #graph: ObjectGraph;
	readonly #slotOf = new Map<string, number>();
	readonly #tasks: (task_struct | undefined)[] = [];
	readonly #raw = new WeakMap<task_struct, Record<string, unknown>>();
	/** Slots whose registers and stack are in the machine, not only their fields. */
	readonly #contextOf: (TaskState | undefined)[] = [];
	readonly #dead: TaskState;
	#reads: Read[] | undefined;
	#writes = new Map<number, Partial<Record<TaskField, unknown>>>();
	#broken: Broken[] = [];
	#busy: ReadonlySet<number> = new Set();
	#warnings = 0;

	constructor(model: Model) {
		this.model = model;
		const { machine } = model;
		const { kworker } = machine;
		const own = model.admins.filter((admin) => admin.of === undefined).map((admin) => admin.task.comm);
		const idle = machine.sched.cpus.map((cpu) => cpu.idle.comm);
		this.slots = [...model.tasks.map(({ name }) => name), ...own, kworker.comm, ...idle];
		this.judged = model.tasks.length > 0 ? this.slots.slice(0, model.tasks.length) : this.slots;
		for (const [slot, name] of this.slots.entries()) this.#slotOf.set(name, slot);
		this.actors = [...model.admins.map((admin) => actor(admin.name, admin.task)), actor(KWORKER, kworker)];
		model.control.racersDone = () => {
			const now = this.actors[0]!.index;
			return model.admins.every(({ during, steps }, i) => during !== now || this.actors[i]!.index === steps.length);
		};
		this.guest = new Guest(model);
		const none = { words: new BigUint64Array(0), stack: new Uint8Array(0) };
		const nothing = Object.fromEntries(TASK_FIELDS.map((field) => [field, undefined])) as TaskState["fields"];
		this.#dead = this.states.intern(
			{ slot: -1, fields: nothing, alive: false, running: false, handler: undefined, chosen: undefined, entries: [] },
			none,
		);
		this.#graph = new ObjectGraph([machine], special);
		this.#observe();
		this.#adoptTasks();
		this.#settleKthreads();
	}

	/** Kernel threads begin asleep, between two rounds: only so may those that make no moves be left out. */
	#settleKthreads(): void {
		for (const [slot, task] of this.#tasks.entries()) {
			if (!task?.kthread || task.mode !== "kernel") continue;
			for (let moves = 0; task.__state === TASK_RUNNING; moves++) {
				if (moves > KTHREAD_MOVES)
					throw new KlpemuError("TASK_STUCK", `kthread '${task.comm}' does not come to its sleep`);
				this.moveTask(slot);
			}
		}
	}

	// ---- tasks ----

	slot(name: string): number {
		const slot = this.#slotOf.get(name);
		if (slot === undefined) throw new KlpemuError("EXPLORE_NO_TASK", `there is no task '${name}'`);
		return slot;
	}

	task(slot: number): task_struct | undefined {
		return this.#tasks[slot];
	}

	modelTask(slot: number): ModelTask | undefined {
		return this.model.tasks[slot];
	}

	/** Finds out who is there, and makes all reads and writes of tasks known. */
	#adoptTasks(): Map<number, TaskState> {
		const replaced = new Map<number, TaskState>();
		const there = new Map([...this.model.machine.sched.all()].map((task) => [task.comm, task]));
		for (const [slot, name] of this.slots.entries()) {
			const task = there.get(name);
			const known = this.#tasks[slot];
			this.#tasks[slot] = task;
			if (task === undefined) {
				if (this.loaded[slot] !== this.#dead) replaced.set(slot, this.#dead);
			} else {
				if (!this.#raw.has(task)) {
					if (task.kthread && task.mode === "kernel") this.model.machine.executor.enterKernel(task);
					else if (task.mode === "user") this.model.machine.executor.emptyStack(task);
					this.#instrument(task, slot);
				}
				if (known !== task || !this.loaded[slot]?.alive) {
					replaced.set(slot, this.capture(slot));
				}
			}
		}
		for (const [slot, state] of replaced) {
			this.loaded[slot] = state;
			this.#contextOf[slot] = state;
		}
		return replaced;
	}

	#instrument(task: task_struct, slot: number): void {
		const raw: Record<string, unknown> = {};
		for (const field of TASK_FIELDS) {
			raw[field] = task[field];
			Object.defineProperty(task, field, {
				enumerable: true,
				configurable: true,
				get: () => {
					this.#noteRead(slot, field, raw[field]);
					return raw[field];
				},
				set: (value) => {
					raw[field] = value;
					const written = this.#writes.get(slot) ?? {};
					written[field] = value;
					this.#writes.set(slot, written);
				},
			});
		}
		Object.defineProperty(task, "on_cpu", {
			enumerable: true,
			configurable: true,
			get: () => {
				if (task === this.model.machine.executor.current) return 0;
				const busy = this.#busy.has(slot);
				this.#noteRead(slot, "on_cpu", busy);
				return busy ? 1 : -1;
			},
			set: () => {},
		});
		this.#raw.set(task, raw);
	}

	/** Only the first read counts, and not that of what this very step has written: the rest follows. */
	#noteRead(slot: number, field: Read["field"], value: unknown): void {
		if (this.#reads === undefined) return;
		if (this.#reads.some((read) => read.slot === slot && read.field === field)) return;
		if (field in (this.#writes.get(slot) ?? {})) return;
		this.#reads.push({ slot, field, value });
	}

	/** The state that a task of the machine is in. */
	capture(slot: number, move?: Pick<TaskState, "handler" | "chosen">): TaskState {
		const { machine } = this.model;
		const task = this.#tasks[slot]!;
		const raw = this.#raw.get(task)!;
		const fields = Object.fromEntries(TASK_FIELDS.map((field) => [field, raw[field]])) as TaskState["fields"];
		const trace = this.guest.walk(task);
		const entries = trace.reliable ? trace.entries : undefined;
		const running =
			move !== undefined && !task.idle && raw.mode === "kernel" && raw.__state === TASK_RUNNING && raw.held === false;
		const { handler, chosen } = move ?? {};
		const state = { slot, fields, alive: true, running, handler, chosen, entries };
		return this.states.intern(state, captureContext(machine, task));
	}

	/** Makes a task what `state` says; its registers and stack only when it is about to run. */
	load(slot: number, state: TaskState): void {
		if (this.loaded[slot] === state) return;
		const task = this.#tasks[slot];
		if (state.alive !== (task !== undefined)) {
			throw new Error(`${this.slots[slot]} ${state.alive ? "is not there" : "is there"}, and the state says otherwise`);
		}
		if (task !== undefined) Object.assign(this.#raw.get(task)!, state.fields);
		this.loaded[slot] = state;
		this.#contextOf[slot] = undefined;
	}

	loadAll(states: readonly TaskState[]): void {
		for (let slot = 0; slot < states.length; slot++) this.load(slot, states[slot]!);
	}

	// ---- moves ----

	/** Lets a task run to its next point. `context`: which of its state's contexts it starts from. */
	moveTask(
		slot: number,
		context = 0,
	): { readonly state: TaskState; readonly label: string; readonly broken: readonly Broken[] } {
		const state = this.loaded[slot]!;
		const task = this.#tasks[slot]!;
		this.#begin(undefined);
		if (this.#contextOf[slot] !== state || context > 0) this.guest.restore(task, state.contexts[context]!);
		const result = this.guest.move(task, state);
		const broken = this.#end();
		if (result.oops !== undefined) broken.push(...result.oops);
		const next = result.oops ? this.#dead : this.capture(slot, result);
		if (result.oops) this.#adoptTasks();
		this.loaded[slot] = next;
		this.#contextOf[slot] = next;
		return { state: next, label: result.label, broken };
	}

	/** Which of an actor's next steps there are; undefined when it has nothing to do. */
	nextStep(index: number): string | undefined {
		const actor = this.actors[index]!;
		const admin = this.model.admins[index];
		if (admin === undefined) return this.#nextWork(actor);
		if (admin.during !== undefined && this.actors[0]!.index !== admin.during) return undefined;
		return admin.steps[actor.index]?.title;
	}

	#nextWork(actor: Actor): string | undefined {
		if (actor.code !== undefined) return actor.work;
		const { workqueue, klp } = this.model.machine;
		const work = workqueue.pending[0] ?? workqueue.delayed[0]?.work;
		// To take the transition's work while somebody else has the mutex is to take it when it is free.
		if (work === klp.transition.klp_transition_work && klp.klp_mutex.locked) return undefined;
		return work?.name;
	}

	/**
	 * Lets an actor make one step: to its next point, or place. `busy`: slots of tasks that are on a CPU, if it looks. `late`: the
	 * work that it takes has been tried often enough for signals.
	 */
	moveActor(index: number, busy: ReadonlySet<number>, late = false): Effect {
		const actor = this.actors[index]!;
		const { machine } = this.model;
		this.#begin(actor.task);
		this.#reads = [];
		this.#busy = busy;
		const { transition } = machine.klp;
		if (late) transition.klp_signals_cnt = LATE;
		const point = this.#advance(index, actor);
		// How often it has been tried does not matter but for signals, and for those `late` is a choice. The work itself counts.
		if (transition.klp_signals_cnt > 1 && this.actors.at(-1)!.code === undefined) transition.klp_signals_cnt = 1;
		const reads = this.#reads;
		this.#reads = undefined;
		const broken = this.#end();
		const writes = this.#writes;
		const replaced = this.#adoptTasks();
		for (const [slot, written] of writes) {
			if (replaced.has(slot) || !this.loaded[slot]!.alive) continue;
			const before = this.loaded[slot]!;
			this.loaded[slot] = this.states.withFields(before, written);
			if (this.#contextOf[slot] === before) this.#contextOf[slot] = this.loaded[slot];
		}
		const isPlace = typeof point === "object" && point.at !== undefined;
		const label = typeof point === "string" ? point : point === undefined ? "done" : point.label;
		return { reads, writes, replaced, label, isPlace, blocked: point === BLOCKED, broken };
	}

	#advance(index: number, actor: Actor): Point | undefined {
		if (actor.wait !== undefined && !actor.wait.ready()) return BLOCKED;
		actor.code ??= this.#start(index, actor);
		actor.wait = undefined;
		this.model.control.mayFallAsleep = this.#mayFallAsleep();
		const { done, value } = actor.code.next();
		if (done) {
			actor.code = undefined;
			actor.path = [];
			if (index < this.model.admins.length) actor.index++;
			this.model.control.mayFallAsleep = this.#mayFallAsleep();
			return undefined;
		}
		if (typeof value !== "string") actor.wait = value.at === undefined ? value : undefined;
		actor.path = pathAfter(actor.path, value);
		return value;
	}

	#mayFallAsleep(): boolean {
		const [first] = this.actors;
		return first!.code !== undefined && (this.model.admins[0]!.steps[first!.index]?.mayFallAsleep ?? false);
	}

	#start(index: number, actor: Actor): Kernel<unknown> {
		const { machine, admins } = this.model;
		const admin = admins[index];
		if (admin === undefined) {
			const work = machine.workqueue.take(Number.POSITIVE_INFINITY)!;
			actor.work = work.name;
			return work.func();
		}
		const code = admin.steps[actor.index]!.run();
		if (admin.of !== undefined) return code;
		return (function* () {
			yield* code;
			yield* machine.klp.transition.klp_update_patch_state(actor.task);
		})();
	}

	#begin(current: task_struct | undefined): void {
		if (current !== undefined) this.model.machine.executor.current = current;
		this.#writes = new Map();
		this.#broken = [];
		this.#warnings = this.model.machine.dmesg.warnings.length;
	}

	#end(): Broken[] {
		const { warnings } = this.model.machine.dmesg;
		for (const warning of warnings.slice(this.#warnings)) {
			this.#broken.push({ invariant: "warn", message: `WARN_ON in ${warning}` });
		}
		return this.#broken;
	}

	#observe(): void {
		const { machine, functions } = this.model;
		const { klp } = machine;
		machine.stackTrace = (task) => {
			const slot = this.slot(task.comm);
			const { entries, entriesKey } = this.loaded[slot]!;
			this.#noteRead(slot, "entries", entriesKey);
			return entries;
		};
		klp.onInvalidRead = (message) => this.#broken.push({ invariant: "use-after-free", message });
		klp.onTransition = (what, patch, target) => {
			if (what !== "init") return;
			const others = klp.klp_patches.filter((other) => other.enabled && other !== patch);
			const goes = klp.design.replacesOnCompletion(patch);
			const stay = others.filter((other) => !(goes && klp.design.supersedes(patch, other)));
			this.before = viewFor(klp, functions, KLP_TRANSITION_IDLE);
			this.after = promisedView(klp, functions, target === KLP_TRANSITION_PATCHED ? [...stay, patch] : others);
		};
	}

	// ---- states ----

	/** No actor is in the middle of anything. */
	get quiet(): boolean {
		return this.actors.every((actor) => actor.code === undefined);
	}

	/** All that is not tasks: two worlds with the same key go on alike. */
	kernelKey(): string {
		const actors = this.actors.map(({ index, path, wait }) => `${index}:${wait !== undefined}:${path.join(">")}`);
		const views = [this.before, this.after].map((view) => view?.names.join() ?? "");
		return [this.#graph.key(), ...actors, ...views, this.guest.textKey()].join("|");
	}

	/** Only between two operations: what kernel code has in hand cannot be saved. */
	save(): SavedWorld {
		const { machine } = this.model;
		const stacks = new Set([...machine.sched.all()].map((task) => task.stack));
		// Of the data only what has been handed out: the rest is a quarter of a megabyte of zeroes.
		const used = Math.ceil((machine.areas.nextOps - LAYOUT.data) / PAGE_SIZE) * PAGE_SIZE;
		const content = (region: Region) => {
			if (stacks.has(region)) return 0;
			return region.address === toU64(LAYOUT.data) ? used : region.length;
		};
		return {
			graph: this.#graph.save(),
			memory: machine.memory.save(content),
			indexes: this.actors.map(({ index }) => index),
			before: this.before,
			after: this.after,
			sites: [...machine.ftrace.records.keys()],
		};
	}

	/** Goes back; what tasks are is the caller's business ({@link loadAll}). */
	restore(saved: SavedWorld): void {
		const { machine } = this.model;
		const sites = new Set(machine.ftrace.records.keys());
		machine.text_poke.queue = [];
		machine.text_poke.bp_desc = [];
		restoreGraph(saved.graph);
		machine.memory.restore(saved.memory, (address, length) => {
			if (machine.memory.permissions(address) & PERM.EXEC) machine.cpu.textChanged(address, length);
		});
		for (const site of saved.sites) if (!sites.delete(site)) machine.cpu.addCallSite(site);
		for (const site of sites) machine.cpu.removeCallSite(site);
		// Its list of sites in order is made anew when it is asked for.
		machine.ftrace.ftrace_process_locs("", [], 0);
		for (const [i, actor] of this.actors.entries()) {
			actor.index = saved.indexes[i]!;
			actor.code = undefined;
			actor.wait = undefined;
			actor.path = [];
		}
		this.before = saved.before;
		this.after = saved.after;
		this.model.control.mayFallAsleep = false;
		const there = new Map([...machine.sched.all()].map((task) => [task.comm, task]));
		for (const [slot, name] of this.slots.entries()) {
			this.#tasks[slot] = there.get(name);
			this.#contextOf[slot] = undefined;
		}
		this.loaded.length = 0;
	}
}

const BLOCKED: Wait = { label: "blocked", ready: () => false };

function actor(name: string, task: task_struct): Actor {
	return { name, task, index: 0, work: undefined, code: undefined, wait: undefined, path: [] };
}

/** A loop is at its last turn only: what it remembers of those before is in `at`. */
function pathAfter(path: readonly string[], point: Point): string[] {
	if (typeof point === "string") return [...path, point];
	if (point.at === undefined) return [...path, point.label];
	const loop = `${point.label}@`;
	const begin = path.findIndex((step) => step.startsWith(loop));
	return [...(begin < 0 ? path : path.slice(0, begin)), `${loop}${point.at.join()}`];
}

/** Objects that are not walked field by field: what is no state, what is somewhere else, what only names count of. */
function special(value: object): Special | undefined {
	if (value instanceof task_struct) return { name: `task ${value.comm}`, fields: ["stack"] };
	if ("unload" in value && "loaded" in value) return { name: "image", fields: ["name", "base", "loaded"] };
	if (value instanceof Sched) return { name: "sched", fields: ["tasks", "nextPid", "cpus"] };
	if (value instanceof Executor) return { name: "executor", fields: ["nextStack", "freeStacks"] };
	if (value instanceof Memory || value instanceof Dmesg || value instanceof Printer) return { name: "-" };
	// A Cpu's state is memory and registers; environments are functions, and designs never change.
	const other =
		"addGate" in value || ["select_step", "kallsyms", "templates"].some((name) => Object.hasOwn(value, name));
	return other ? { name: "-" } : undefined;
}
