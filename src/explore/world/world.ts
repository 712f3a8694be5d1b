import { Hash, KlpemuError, keyPartsOf } from "../../base/index.js";
import {
	type Broken,
	chosenOn,
	type FromTo,
	fromTo,
	functionsInside,
	judgeError,
	judgeOops,
	judgeWarnings,
} from "../../consistency/index.js";
import type { Kernel } from "../../linux/lib/index.js";
import { TASK_RUNNING, type TaskMode, type task_struct } from "../../linux/sched/index.js";
import { restoreMachine, saveMachine } from "../../machine/index.js";
import type { Model } from "../model.js";
import { Actor, arrival, guestPlace, type KernelPlace } from "./actors.js";
import type { GuestContext } from "./decisive.js";
import type { Effect, TaskOutcome } from "./effect.js";
import { GuestCode, type Runner } from "./guest-code.js";
import { guestVisible } from "./guest-visible.js";
import { checkShared, GuestWorks, whatTasksShare } from "./guest-works.js";
import { hiddenEntries } from "./hidden-entries.js";
import { TaskProbe } from "./probe.js";
import type { KeptWorld, SavedWorld } from "./saved-world.js";
import { SharedMemory } from "./shared-memory.js";
import { EMPTY, haveSameTasks, type Slot, tasksByName } from "./slot.js";
import { functionOf } from "./stack-view.js";
import { TaskData } from "./task-data.js";
import type { TaskMove } from "./task-move.js";
import { TaskMover } from "./task-mover.js";
import { captureContext, clearBelow, NO_CONTEXT, type TaskState, TaskStates } from "./task-state.js";

const FAULT = "faults";
/** Moves that a kthread may need for its first round. */
const KTHREAD_MOVES = 10_000;
/** Name of the actor whose steps are the queued works. */
export const KWORKER = "kworker";
/** klp_transition_work_fn() runs for the 15th time without success: it sends signals. */
export const LATE = 15;

/**
 * A machine in which the explorer decides every move: an actor of the kernel makes its next step, or a task runs to the
 * next change that kernel code can see. It can be restored to each state that it had between two steps.
 */
export class World {
	readonly model: Model;
	readonly states = new TaskStates();
	/** Names of all tasks, by slot: first those of the model, then those of the administrators, then idle tasks. */
	readonly names: readonly string[];
	/** The names that invariants check: the scenario's tasks. Administrators and idle tasks run no patched function. */
	readonly judged: readonly string[];
	readonly actors: readonly Actor[];
	/** Kernel threads that do not sleep. */
	readonly restless: string[] = [];
	/** Of the running transition, or of the last one. */
	transition: FromTo | undefined = undefined;

	/** Of the guest code that actors run. */
	readonly shared: SharedMemory;
	/** Somebody wants {@link TaskOutcome.plain}. */
	wantsNotes = false;
	readonly #code: GuestCode;
	/** Number of functions that were watched when the exploration began. */
	#watched: number;
	/** The actor that holds klp_mutex. */
	#holder: number | undefined = undefined;
	/** Where every exploration begins. */
	readonly #first: { readonly saved: SavedWorld; readonly tasks: readonly TaskState[] };

	readonly #mover: TaskMover;
	readonly #data: TaskData;
	readonly #works: GuestWorks;
	readonly #probe: TaskProbe;
	readonly #slots: readonly Slot[];
	readonly #slotOf: ReadonlyMap<string, number>;
	readonly #dead: TaskState;
	/** Violations in the present move. */
	#broken: Broken[] = [];
	/** The death of a task in guest code that kernel code in TypeScript has called. */
	#oops: Broken | undefined = undefined;

	/** `points`: accesses that are known to be points (see SharedMemory.points()). */
	constructor(model: Model, points: Iterable<string> = []) {
		this.model = model;
		this.#watched = model.functions.length;
		const { machine } = model;
		const { kworker } = machine.hostTasks;
		const own = model.admins.filter((admin) => admin.of === undefined).map((admin) => admin.task.comm);
		const idle = machine.sched.cpus.map((cpu) => cpu.idle.comm);
		const kworkers = model.kworkers.map(({ comm }) => comm);
		this.names = [...model.tasks.map(({ name }) => name), ...own, ...kworkers, kworker.comm, ...idle];
		this.judged = model.tasks.length > 0 ? this.names.slice(0, model.tasks.length) : this.names;
		this.#slotOf = new Map(this.names.map((name, slot) => [name, slot]));
		this.#slots = this.names.map(() => ({ ...EMPTY }));
		this.actors = [
			...model.admins.map(({ name, task }) => new Actor(name, task)),
			...model.kworkers.map((task) => new Actor(task.comm, task)),
			new Actor(KWORKER, kworker),
		];
		this.#works = new GuestWorks(machine, model.kworkers);
		machine.sched.otherReaders.push(() => this.actors.some(({ preempt_count }) => preempt_count !== 0));
		model.control.racersDone = () => {
			const now = this.actors[0]!.index;
			return model.admins.every(({ during, steps }, i) => during !== now || this.actors[i]!.index === steps.length);
		};
		const places = machine.klp.code === undefined ? (["mode"] as const) : (["mode", "preempt_count"] as const);
		this.#probe = new TaskProbe(() => machine.sched.current, places);
		this.shared = new SharedMemory(machine.memory, points);
		this.#code = new GuestCode(machine, this.shared, this.#probe, (message) => {
			this.#broken.push({ invariant: "use-after-free", message });
		});
		const who = ({ comm }: task_struct) => this.actors.length + this.slot(comm);
		const ofLoop = (origin: number) => this.states.decided(origin);
		this.#data = new TaskData(machine, this.shared, this.#code.accesses, who, ofLoop);
		this.#code.hostWrites = (address, length) => this.#data.flow.hostWrites(address, length);
		this.#mover = new TaskMover(model, this.#code, this.#data);
		machine.klp.code?.giveOwnCpus();
		// Memory that a task has for a moment needs no new pages.
		machine.heap.warm();
		if (machine.klp.code !== undefined) machine.heap.makeCanonical();
		this.#dead = this.states.dead();
		machine.sched.reschedAlways = true;
		for (const cpu of machine.sched.cpus) cpu.need_resched = !model.idleSleeps;
		// Whoever calls guest code first, each has the same stack.
		for (const { task } of this.actors) machine.stacks.emptyStack(task);
		this.#observe();
		this.#adoptTasks();
		this.#settleKthreads();
		this.#first = { saved: this.save(), tasks: this.allLoaded() };
	}

	/** Some ways of tasks are not followed: what is reached may depend on what this world has reached before. */
	get hasUnknown(): boolean {
		return this.shared.lost !== undefined || this.states.hasUnknown;
	}

	/** Something was found since the exploration began that must be known from its first state on: it has to begin again. */
	get grown(): boolean {
		return this.shared.sourcesGrown || this.hasToScout;
	}

	/** More of that is probably there. */
	get hasToScout(): boolean {
		return this.shared.grown || this.states.grown || this.model.functions.length > this.#watched;
	}

	/** Begins again, with all that was found: {@link shared} memory, functions that livepatches change, data that decides where tasks go. */
	restart(): void {
		this.#watched = this.model.functions.length;
		this.shared.begin();
		this.states.begin();
		this.rewind();
	}

	/** Goes back to where every exploration begins. */
	rewind(): void {
		this.restore(this.#first.saved);
		this.loadAll(this.#first.tasks);
	}

	#observe(): void {
		const { machine, functions } = this.model;
		machine.unwinder.substitute((task) => {
			const slot = this.slot(task.comm);
			const { entries, entriesKey } = this.#slots[slot]!.state!;
			this.#probe.noteStackRead(slot, entriesKey);
			return entries;
		});
		machine.observe({
			oops: (task, fault, rip) => {
				this.#oops = judgeOops(machine, task, fault, rip);
			},
			invalidRead: (message) => this.#broken.push({ invariant: "use-after-free", message }),
			transition: (what) => {
				if (what === "init") this.transition = fromTo(machine, functions);
			},
		});
	}

	/**
	 * Kernel threads begin asleep, between two rounds: otherwise threads that make no moves could not be left out. One that comes to the
	 * same place again before it sleeps begins there, and always makes moves. So does one that breaks something, from its entry on: the
	 * search is to find that.
	 */
	#settleKthreads(): void {
		for (const [slot, { task }] of this.#slots.entries()) {
			if (!task?.kthread || task.mode !== "kernel") continue;
			const seen = new Set<TaskState>();
			const entry = this.keep();
			while (task.__state === TASK_RUNNING) {
				const { state, label, broken } = this.moveTask(slot);
				if (broken.length > 0) this.goBack(entry);
				if (seen.size > KTHREAD_MOVES) {
					const message = `kthread '${task.comm}' does not come to its sleep: it ${label}`;
					throw new KlpemuError("TASK_STUCK", message);
				}
				if (broken.length > 0 || seen.has(state)) {
					this.restless.push(task.comm);
					break;
				}
				seen.add(state);
			}
		}
	}

	// ---- tasks ----

	slot(name: string): number {
		const slot = this.#slotOf.get(name);
		if (slot === undefined) throw new KlpemuError("EXPLORE_NO_TASK", `there is no task '${name}'`);
		return slot;
	}

	/** The task is on the task list of the machine. */
	isThere(slot: number): boolean {
		return this.#slots[slot]!.task !== undefined;
	}

	/** The present state of a task. */
	loaded(slot: number): TaskState {
		return this.#slots[slot]!.state!;
	}

	/** The states of all tasks, by slot. */
	allLoaded(): TaskState[] {
		return this.#slots.map(({ state }) => state!);
	}

	/** Finds tasks that were created or removed. Returns their new states. */
	#adoptTasks(): Pick<Effect, "replaced" | "captured"> {
		const replaced = new Map<number, TaskState>();
		const captured = new Map<number, GuestContext>();
		if (haveSameTasks(this.#slots, this.model.machine.sched, this.#slotOf)) return { replaced, captured };
		const there = tasksByName(this.model.machine.sched);
		for (const [number, name] of this.names.entries()) {
			const slot = this.#slots[number]!;
			const known = slot.task;
			const task = there.get(name);
			slot.task = task;
			if (task === undefined) {
				if (slot.state !== this.#dead) replaced.set(number, this.#dead);
				continue;
			}
			if (!this.#probe.has(task)) this.#prepare(task, number);
			if (known !== task || !slot.state?.alive) {
				replaced.set(number, this.#capture(number));
				captured.set(number, this.states.last!);
			}
		}
		for (const [slot, state] of replaced) this.#setState(slot, state, captured.get(slot));
		return { replaced, captured };
	}

	#prepare(task: task_struct, slot: number): void {
		const { executor, stacks } = this.model.machine;
		const idlesInGuest = task.idle && this.model.machine.klp.code !== undefined;
		if ((task.kthread && task.mode === "kernel") || idlesInGuest) executor.enterKernel(task);
		else if (task.mode === "user") stacks.emptyStack(task);
		this.#probe.attach(task, slot);
	}

	#setState(slot: number, state: TaskState, context: GuestContext | undefined): void {
		const one = this.#slots[slot]!;
		one.state = state;
		one.context = context;
		if (context !== undefined) one.wanted = undefined;
	}

	/** The state that a task of the machine is in. */
	#capture(slot: number, move?: TaskMove): TaskState {
		const task = this.#slots[slot]!.task!;
		const fields = this.#probe.fields(task);
		const trace = this.#mover.walk(task);
		const entries = trace.reliable ? trace.entries : undefined;
		const inKernel = fields.mode === "kernel" && fields.__state === TASK_RUNNING && fields.held === false;
		const running = move !== undefined && !move.yields && !task.idle && inKernel;
		const { machine } = this.model;
		const chosen = chosenOn(machine, trace);
		const inside = functionsInside(machine, entries ?? []).flat();
		const state = {
			slot,
			fields,
			alive: true,
			running,
			handler: move?.handler,
			core: move?.core,
			chosen,
			entries,
			inside,
		};
		const entriesKey = entries?.join() ?? hiddenEntries(machine, task, trace);
		const { origins } = this.#slots[slot]!;
		return this.states.intern({ ...state, entriesKey }, captureContext(machine, task, origins));
	}

	/** Gives a task the fields of `state`; its registers and stack only when it is about to run. */
	load(number: number, state: TaskState): void {
		const slot = this.#slots[number]!;
		if (slot.state === state) return;
		if (state.alive !== (slot.task !== undefined)) {
			throw new Error(
				`${this.names[number]} ${state.alive ? "is not there" : "is there"}, and the state says otherwise`,
			);
		}
		if (slot.task !== undefined) this.#probe.load(slot.task, state.fields);
		this.#setState(number, state, undefined);
	}

	loadAll(states: readonly TaskState[]): void {
		for (let slot = 0; slot < states.length; slot++) this.load(slot, states[slot]!);
	}

	/** Slots of the idle tasks that sleep until they are woken, and of those whose CPU is offline. */
	get idleAsleep(): number[] {
		const asleep = this.model.machine.sched.cpus.filter(({ need_resched, online }) => !need_resched || !online);
		return asleep.map(({ idle }) => this.slot(idle.comm));
	}

	// ---- moves ----

	/** Lets a task run to its next point. `wanted`: the registers and stack that it begins with, if not those that it has. */
	moveTask(number: number, wanted?: GuestContext): TaskOutcome {
		const slot = this.#slots[number]!;
		const { state, task, context: present, wanted: kept } = slot;
		const context = wanted ?? present ?? kept ?? state!.contexts[0]!;
		const before = whatTasksShare(this.model.machine);
		if (this.wantsNotes) this.shared.beginNotes();
		const { result, broken } = this.#watch(() => {
			if (context !== present) this.#mover.restore(task!, context);
			if (this.model.machine.klp.code === undefined) clearBelow(this.model.machine, task!);
			this.#data.load(task!, this.states.fresh(context.origins));
			const place = { inGuest: 0, path: [], gates: [] };
			const runner = { who: this.actors.length + number, holdsMutex: () => false, place, isTask: true };
			return this.#code.as(runner, () => this.#moveOrDie(task!, state!));
		});
		const notes = this.shared.endNotes();
		if (result.oops !== undefined) broken.push(result.oops);
		if (!result.oops) checkShared(before, this.model.machine, task!);
		slot.origins = result.oops ? undefined : this.#data.flow.save(task!);
		const next = result.oops ? this.#dead : this.#capture(number, result);
		const reached = result.oops ? NO_CONTEXT : this.states.last!;
		if (result.oops) this.#adoptTasks();
		this.noteLoop(number, next, result);
		this.#setState(number, next, reached);
		const { label, endless, yields } = result;
		// cond_resched() asks the design.
		const plain = yields || broken.length > 0 ? undefined : notes;
		return { state: next, context: reached, label, broken, endless, plain };
	}

	/** Behind a move of a task, if from here on the search does not know all its ways. */
	noteLoop(slot: number, { entries: reached = [] }: TaskState, move: Pick<TaskMove, "endless" | "entries">): void {
		const { endless: how, entries = reached } = move.endless === undefined ? this.#data.lost : move;
		if (how !== undefined) this.states.loop ??= { slot, entries, how };
	}

	#moveOrDie(task: task_struct, state: TaskState): TaskMove {
		try {
			return this.#mover.move(task, state);
		} catch (error) {
			return { label: FAULT, oops: this.#fault(error, task.comm) };
		}
	}

	/** Title of the next step that an actor can make; undefined: there is none. */
	nextStep(index: number): string | undefined {
		const actor = this.actors[index]!;
		const admin = this.model.admins[index];
		if (admin === undefined) return this.#nextWork(actor);
		if (admin.during !== undefined && this.actors[0]!.index !== admin.during) return undefined;
		const step = admin.steps[actor.index];
		const { sched, klp } = this.model.machine;
		if (step?.writesTasklist && (sched.tasklist_lock || klp.code?.tasklistLocked)) return undefined;
		return step?.title;
	}

	#nextWork(actor: Actor): string | undefined {
		if (actor.inStep) return actor.work;
		const { workqueue, klp } = this.model.machine;
		if (actor.name !== KWORKER) return this.#works.next;
		const work = workqueue.pending[0] ?? workqueue.delayed[0]?.work;
		// Taking the transition's work while another actor holds the mutex has the same effect as taking it when the
		// mutex is free.
		if (klp.isTransitionWork(work) && klp.klp_mutex.locked) return undefined;
		return work?.name;
	}

	/**
	 * Lets an actor make one step: to its next point, or place. `busy`: slots of the tasks that are on a CPU, if the
	 * actor reads on_cpu.
	 * `late`: the work that it takes has been tried often enough to send signals.
	 */
	moveActor(index: number, busy: ReadonlySet<number>, late = false): Effect {
		const { machine } = this.model;
		const { klp } = machine;
		machine.sched.current = this.actors[index]!.task;
		const { result, broken } = this.#watch(() =>
			this.#probe.record(busy, () => {
				if (late) klp.klp_signals_cnt = LATE;
				const point = this.#code.as(this.#runner(index), () => this.#inGuest(index, () => this.#advanceOrDie(index)));
				// The number of tries matters for signals only, and these are a choice (`late`): 0 and 1 send none. Of the transcription
				// zero or not zero is kept.
				const kept = klp.code === undefined ? 1 : 0;
				if (klp.klp_signals_cnt > kept && !this.actors.at(-1)!.inStep) klp.klp_signals_cnt = kept;
				return point;
			}),
		);
		this.#works.checkKworkers(this.actors);
		const { result: point, touched } = result;
		const adopted = this.#adoptTasks();
		for (const [number, written] of touched.writes) {
			const { state: before, context } = this.#slots[number]!;
			if (adopted.replaced.has(number) || !before!.alive) continue;
			this.#setState(number, this.states.withFields(before!, written), context);
		}
		const arrived = arrival(point);
		const kind = this.#code.transitionEnded && arrived.kind !== "place" ? "done" : arrived.kind;
		// Not by spreading: this is made at each step, and V8 copies objects of so many shapes slowly.
		const { label, quiet } = arrived;
		return {
			reads: touched.reads,
			writes: touched.writes,
			replaced: adopted.replaced,
			captured: adopted.captured,
			label,
			kind,
			quiet,
			broken,
		};
	}

	#runner(index: number): Runner {
		const { klp_mutex } = this.model.machine.klp;
		const holdsMutex = () => {
			if (!klp_mutex.locked) this.#holder = undefined;
			else this.#holder ??= index;
			return this.#holder === index;
		};
		return { who: index, holdsMutex, place: this.actors[index]!.place, isTask: false };
	}

	/** Between the moves of an administrator or the kworker, its task is not in guest code for others. */
	#inGuest<T>(index: number, move: () => T): T {
		const actor = this.actors[index]!;
		const { task } = actor;
		const mode = this.#probe.has(task) ? this.#probe.value(task, "mode") : undefined;
		if (mode === undefined || mode.get() !== "host") return move();
		const count = this.model.machine.klp.code === undefined ? undefined : this.#probe.value(task, "preempt_count");
		mode.set(actor.mode);
		count?.set(actor.preempt_count);
		try {
			return move();
		} finally {
			actor.mode = mode.get() as TaskMode;
			mode.set("host");
			actor.preempt_count = (count?.get() as number | undefined) ?? 0;
			count?.set(0);
		}
	}

	/** A fault in the step's code is its last point. */
	#advanceOrDie(index: number): ReturnType<Actor["advance"]> {
		try {
			return this.#advance(index);
		} catch (error) {
			this.#broken.push(this.#fault(error, this.actors[index]!.name));
			return FAULT;
		}
	}

	/** The violation for an error in the code of `name`. Throws the error again if it is not a fault of the kernel. */
	#fault(error: unknown, name: string): Broken {
		const broken = error instanceof KlpemuError ? judgeError(error, name) : undefined;
		if (broken === undefined) throw error;
		const oops = this.#oops;
		this.#oops = undefined;
		return oops ?? broken;
	}

	#advance(index: number): ReturnType<Actor["advance"]> {
		const actor = this.actors[index]!;
		const { admins, control } = this.model;
		const point = actor.advance(() => this.#start(index));
		if (point === undefined && index < admins.length) actor.index++;
		const [first] = this.actors;
		control.mayFallAsleep = first!.inStep && (admins[0]!.steps[first!.index]?.mayFallAsleep ?? false);
		return point;
	}

	#start(index: number): Kernel<unknown> {
		const { machine, admins } = this.model;
		const actor = this.actors[index]!;
		const admin = admins[index];
		if (admin === undefined && actor.name !== KWORKER) {
			actor.work = this.#works.next;
			return this.#works.run(actor.task);
		}
		if (admin === undefined) {
			const work = machine.workqueue.take(Number.POSITIVE_INFINITY)!;
			actor.work = work.name;
			return work.func();
		}
		const code = admin.steps[actor.index]!.run();
		if (admin.of !== undefined) return code;
		return (function* () {
			yield* code;
			yield* machine.klp.klp_update_patch_state(actor.task);
		})();
	}

	/** Makes a move, and collects the violations that the machine reports during it. */
	#watch<T>(move: () => T): { readonly result: T; readonly broken: Broken[] } {
		const { dmesg } = this.model.machine;
		const broken: Broken[] = [];
		this.#broken = broken;
		const warned = dmesg.warnings.length;
		const result = move();
		broken.push(...judgeWarnings(dmesg.warnings.slice(warned)));
		return { result, broken };
	}

	// ---- states ----

	/** Where an actor is in the kernel: what it waits for, or the title of its step. Undefined: it is not in the kernel. */
	inKernel(index: number): KernelPlace | undefined {
		const { inStep, wait, work, index: at } = this.actors[index]!;
		const step = this.model.admins[index]?.steps[at];
		if (!inStep || (step?.outside && wait !== undefined)) return undefined;
		return { waits: wait !== undefined, label: wait?.label ?? step?.title ?? work ?? "" };
	}

	/** No actor is in the middle of a step. */
	get quiet(): boolean {
		return this.actors.every((actor) => !actor.inStep);
	}

	/**
	 * Worlds with the same key and the same states of tasks continue in the same way. What is behind the last ~ are the values that only
	 * the design reads.
	 */
	kernelKey(guestKey = this.guestKey()): string {
		const { before, after } = this.transition ?? {};
		const views = [before, after].map((view) => view?.names.join() ?? "");
		const actors = this.actors.map((actor) => actor.key + guestPlace(this.model.machine, actor));
		const [machine, fields] = keyPartsOf(this.model.machine);
		const key = [machine, ...actors, ...views, guestKey, this.shared.stateKey()].join("|");
		// Most of it is the same text each time, and long.
		if (key.length < 1000) return `${key}~${fields}`;
		const hash = new Hash();
		hash.add(key);
		return `${hash.digest()}~${fields}`;
	}

	/** The loop whose turns were not all followed, in a sentence; undefined: there is none. */
	loopReason(): string | undefined {
		const { loop } = this.states;
		if (loop === undefined) return undefined;
		const where = loop.entries.map((ip) => functionOf(this.model.machine.symbolize(ip))).join(" <- ");
		return `${this.names[loop.slot]} ${loop.how} (${where})`;
	}

	/** Worlds with the same key look the same to guest code. */
	guestKey(): string {
		return guestVisible(this.model) + this.shared.seenKey();
	}

	/** Only while it is {@link quiet}: kernel code in the middle of a step cannot be saved. */
	save(): SavedWorld {
		return {
			machine: saveMachine(this.model.machine, { withoutStacks: true }),
			indexes: this.actors.map(({ index }) => index),
			transition: this.transition,
			mayFallAsleep: this.model.control.mayFallAsleep,
		};
	}

	/** Restores a saved state. The caller gives tasks their states ({@link loadAll}). */
	restore(saved: SavedWorld): void {
		restoreMachine(this.model.machine, saved.machine);
		for (const [i, actor] of this.actors.entries()) actor.rewind(saved.indexes[i]!);
		this.transition = saved.transition;
		this.model.control.mayFallAsleep = saved.mayFallAsleep;
		this.#holder = undefined;
		const there = tasksByName(this.model.machine.sched);
		for (const [number, name] of this.names.entries()) {
			Object.assign(this.#slots[number]!, EMPTY, { task: there.get(name) });
		}
	}

	/** All of it, with the registers and stacks of tasks. Only while it is {@link quiet}. */
	keep(): KeptWorld {
		const tasks = this.#slots.map(({ state, context, wanted, origins }) => {
			return { state: state!, context: context ?? wanted, origins };
		});
		return { saved: this.save(), tasks };
	}

	/** Goes back to what {@link keep} has kept. */
	goBack({ saved, tasks }: KeptWorld): void {
		this.restore(saved);
		for (const [slot, { state, context, origins }] of tasks.entries()) {
			this.load(slot, state);
			this.#slots[slot]!.wanted = context;
			this.#slots[slot]!.origins = origins;
		}
	}
}
