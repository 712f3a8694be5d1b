import { patchStateName } from "../linux/klp/index.js";
import { TASK_RUNNING, TIF_NOTIFY_SIGNAL, type task_struct } from "../linux/sched/index.js";
import type { Machine } from "../machine/index.js";
import { toKaddr } from "../memory/index.js";
import type { EventCategory, Lane, Timeline, TimelineEvent } from "../report/index.js";
import { type CalledFunction, CallTracker } from "./call-tracker.js";

/** The values of a task at the last step of kernel code. */
interface Seen {
	readonly patch_state: number;
	readonly pending: boolean;
	readonly signal: boolean;
	readonly running: boolean;
}

/** A violation, for the timeline. */
export interface RecordedViolation {
	readonly invariant: string;
	readonly message: string;
	/** Name of the task; null: it is of no task. */
	readonly task: string | null;
}

/** What has happened to a task. */
interface Effect {
	readonly task: task_struct;
	readonly category: EventCategory;
	readonly name: string;
}

/** Watches a run: the machine, the steps of the scenario, and what the judge says. */
export interface RunObserver {
	/** The machine is about to run: its tasks are created after this. */
	attach(machine: Machine): void;
	beginStep(index: number, action: string): void;
	/** `kept`: the violations that the report tells, of those until now. */
	endStep(errno: number, kept: readonly RecordedViolation[]): void;
	violation(violation: RecordedViolation): void;
}

type More = Partial<Pick<TimelineEvent, "details" | "from" | "to" | "call">>;

const PATCH_STATE_NONE = -1;

/**
 * Records the timeline of a machine, from {@link attach} on. It only watches: a run with a recorder makes the same steps as one
 * without. It is slow, because the Cpu reports each instruction.
 */
export class Recorder implements RunObserver {
	#machine: Machine | undefined = undefined;
	#calls: CallTracker | undefined = undefined;
	#detach: () => void = () => {};
	readonly #lanes: Lane[] = [];
	readonly #laneOf = new Map<string | task_struct, number>();
	/** By lane: the names of what has begun there, and not ended. */
	readonly #open = new Map<number, EventCategory[]>();
	readonly #events: TimelineEvent[] = [];
	/** Events that count only if the step keeps them, see {@link endStep}. */
	#violations: { readonly violation: RecordedViolation; readonly event: TimelineEvent; readonly place: number }[] = [];
	#now = 0;
	#instructions = 0;
	#flows = 0;
	#printed = 0;
	readonly #seen = new Map<task_struct, Seen>();
	/** By CPU: the task that is on it. */
	readonly #onCpu: (task_struct | undefined)[] = [];
	/** Moves are made one after the other: there is one CPU, of the task that moves. */
	#moves = false;

	/** `moves`: the machine is moved by a schedule, in which CPUs have no part. */
	attach(machine: Machine, options: { readonly moves?: boolean } = {}): void {
		this.#machine = machine;
		this.#moves = options.moves ?? false;
		this.#lane("steps", "steps", "scenario", 0);
		this.#lane("transition", "transition", "transition", 0);
		for (const { id } of this.#moves ? machine.sched.cpus.slice(0, 1) : machine.sched.cpus) {
			this.#lane(`cpu ${id}`, "cpu", this.#moves ? "moves" : `CPU ${id}`, id);
		}
		this.#calls = new CallTracker(machine, {
			enter: (task, func, parent, replaces) => this.#enter(task, func, parent(), replaces),
			leave: (task) => this.#end(this.#taskLane(task)),
		});
		this.#look();
		this.#detach = machine.observe({
			instruction: (rip) => this.#instruction(rip),
			point: (label) => this.point(label),
			oops: (task) => {
				this.#calls!.end(task);
				this.#instant(this.#taskLane(task), "oops", "oops", { details: { reason: task.oops ?? "" } });
			},
			transition: (what, patch, target) => {
				this.#end(this.#laneOf.get("transition")!);
				const name = `${patch.name} -> ${patchStateName(target)}`;
				this.#begin(this.#laneOf.get("transition")!, "transition", name, { details: { what } });
			},
		});
	}

	/** A step of the scenario begins. */
	beginStep(index: number, action: string): void {
		this.#now++;
		this.#begin(this.#laneOf.get("steps")!, "step", action, { details: { step: index } });
	}

	/** It ends. `kept`: those of its violations that the report tells. */
	endStep(errno: number, kept: readonly RecordedViolation[]): void {
		this.#look();
		for (const { violation, event, place } of [...this.#violations].reverse()) {
			if (kept.includes(violation)) this.#events.splice(place, 0, event);
		}
		this.#violations = [];
		this.#now++;
		if (errno !== 0) this.#instant(this.#laneOf.get("steps")!, "step", `errno ${errno}`);
		this.#end(this.#laneOf.get("steps")!);
	}

	/** A task or an actor begins a move of a schedule. */
	beginMove(who: task_struct, title: string, details: Readonly<Record<string, string | number>>): void {
		this.#now++;
		this.#begin(this.#laneOf.get("steps")!, "step", title, { details });
		this.#switchTo(0, who);
	}

	violation(violation: RecordedViolation): void {
		const { invariant, message, task } = violation;
		const there = task === null ? undefined : this.#machine!.sched.find(task);
		const lane = there === undefined ? this.#laneOf.get("steps")! : this.#taskLane(there);
		const event = this.#make(lane, "instant", "violation", invariant, { details: { message } });
		this.#violations.push({ violation, event, place: this.#events.length });
	}

	/** The current task has made a step of kernel code. Its effects on other tasks are arrows from there. */
	point(label: string): void {
		this.#now++;
		const { sched, text_poke } = this.#machine!;
		const poke = label.startsWith("text_poke_bp_batch");
		const sites = poke ? text_poke.bp_desc.map(({ address }) => this.#machine!.symbolize(address)).join(" ") : "";
		const effects = this.#effects();
		const from = effects.filter(({ task }) => task !== sched.current).map(() => ++this.#flows);
		this.#instant(this.#taskLane(sched.current), poke ? "text_poke" : "kernel", label, {
			...(poke && { details: { sites } }),
			...(from.length > 0 && { from }),
		});
		let next = 0;
		for (const { task, category, name } of effects) {
			const to = task === sched.current ? {} : { to: [from[next++]!] };
			this.#instant(this.#taskLane(task), category, name, to);
		}
		this.#lookAtRest();
	}

	/** The timeline until now; the recording ends. */
	finish(title: string): Timeline {
		this.#look();
		this.#detach();
		this.#now++;
		this.#calls?.endAll();
		for (const [lane, open] of this.#open) while (open.length > 0) this.#end(lane);
		return { title, lanes: this.#lanes, events: this.#events, instructions: this.#instructions };
	}

	#instruction(rip: bigint): void {
		this.#now++;
		this.#instructions++;
		this.#lookAtCpus();
		this.#calls!.instruction(toKaddr(rip));
	}

	#enter(task: task_struct, func: CalledFunction, parent: string, replaces: CalledFunction | undefined): void {
		const cpu = this.#moves ? 0 : Math.max(task.on_cpu, 0);
		this.#begin(this.#taskLane(task), "function", func.name, {
			details: { parent, ...(replaces && { "instead of": replaces.name }) },
			call: { func: func.name, parent, cpu, traceable: func.traceable },
		});
	}

	/** Reads what has changed since the last step, without a step of kernel code that did it. */
	#look(): void {
		for (const { task, category, name } of this.#effects()) this.#instant(this.#taskLane(task), category, name);
		this.#lookAtRest();
	}

	#lookAtRest(): void {
		this.#lookAtCpus();
		const { dmesg, klp } = this.#machine!;
		for (const { text } of dmesg.records.slice(this.#printed)) {
			this.#instant(this.#laneOf.get("steps")!, "dmesg", text);
		}
		this.#printed = dmesg.records.length;
		if (klp.inTransition === undefined) this.#end(this.#laneOf.get("transition")!);
	}

	#lookAtCpus(): void {
		if (this.#moves) return;
		for (const { id, curr } of this.#machine!.sched.cpus) if (this.#onCpu[id] !== curr) this.#switchTo(id, curr);
	}

	#switchTo(cpu: number, task: task_struct): void {
		this.#onCpu[cpu] = task;
		const lane = this.#laneOf.get(`cpu ${cpu}`)!;
		this.#end(lane);
		// Perfetto, too, shows an idle CPU as a gap.
		if (!task.idle || this.#moves) this.#begin(lane, "task", task.comm, { details: { pid: task.pid } });
	}

	/** What has happened to each task since the last look. */
	#effects(): Effect[] {
		const { sched } = this.#machine!;
		const effects: Effect[] = [];
		for (const task of sched.all()) {
			const before = this.#seen.get(task);
			const { patch_state, pending } = task;
			const signal = (task.thread_flags & TIF_NOTIFY_SIGNAL) !== 0;
			const now = { patch_state, pending, signal, running: task.__state === TASK_RUNNING && !task.held };
			this.#seen.set(task, now);
			if (!task.idle) this.#taskLane(task);
			if (before?.patch_state !== patch_state) this.#patchState(task, patch_state);
			if (before === undefined) continue;
			const effect = (category: EventCategory, name: string) => effects.push({ task, category, name });
			if (before.patch_state !== patch_state && before.patch_state >= 0 && patch_state >= 0) {
				effect("switch", `${patchStateName(before.patch_state)} -> ${patchStateName(patch_state)}`);
			}
			if (pending && !before.pending) effect("switch", "TIF_PATCH_PENDING");
			if (signal && !before.signal) effect("signal", "TIF_NOTIFY_SIGNAL");
			if (now.running && !before.running && task !== sched.current && task.mode !== "host") effect("wake", "woken");
		}
		return effects;
	}

	#patchState(task: task_struct, patch_state: number): void {
		if (task.idle) return;
		const lane = this.#taskLane(task) + 1;
		this.#end(lane);
		if (patch_state !== PATCH_STATE_NONE) this.#begin(lane, "patch_state", patchStateName(patch_state));
	}

	// ---- lanes and events ----

	#lane(key: string | task_struct, kind: Lane["kind"], name: string, number: number, parent?: number): number {
		const id = this.#lanes.length;
		this.#lanes.push({ id, kind, name, number, ...(parent !== undefined && { parent }) });
		if (kind !== "patch_state") this.#laneOf.set(key, id);
		return id;
	}

	/** The lane of a task; that of its patch_state is the next one. */
	#taskLane(task: task_struct): number {
		const known = this.#laneOf.get(task);
		if (known !== undefined) return known;
		const lane = this.#lane(task, "task", task.comm, task.pid);
		this.#lane(task, "patch_state", "patch_state", 0, lane);
		return lane;
	}

	#begin(lane: number, category: EventCategory, name: string, more?: More): void {
		this.#opened(lane).push(category);
		this.#events.push(this.#make(lane, "begin", category, name, more));
	}

	/** Nothing happens if nothing is open. */
	#end(lane: number): void {
		const category = this.#opened(lane).pop();
		if (category !== undefined) this.#events.push(this.#make(lane, "end", category, ""));
	}

	#instant(lane: number, category: EventCategory, name: string, more?: More): void {
		this.#events.push(this.#make(lane, "instant", category, name, more));
	}

	#make(
		lane: number,
		kind: TimelineEvent["kind"],
		category: EventCategory,
		name: string,
		more: More = {},
	): TimelineEvent {
		return { at: this.#now, lane, kind, name, category, ...more };
	}

	#opened(lane: number): EventCategory[] {
		const known = this.#open.get(lane);
		if (known !== undefined) return known;
		const open: EventCategory[] = [];
		this.#open.set(lane, open);
		return open;
	}
}
