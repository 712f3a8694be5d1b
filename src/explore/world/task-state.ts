import { Hash } from "../../base/index.js";
import type { JudgedTask } from "../../consistency/index.js";
import { RFLAGS, RIP, RSP } from "../../cpu/index.js";
import { FLAGS } from "../../cpu/x86/index.js";
import { entryKey, type HandlerPlace } from "../../linux/klp/index.js";
import type { task_struct } from "../../linux/sched/index.js";
import type { Machine } from "../../machine/index.js";
import { DecisiveWords, type GuestContext } from "./decisive.js";
import type { Origin, Origins } from "./task-flow.js";

/** The fields of a task that kernel code reads or writes. The rest of a task's state is its place in guest code. */
export const TASK_FIELDS = [
	"patch_state",
	"thread_flags",
	"__state",
	"mode",
	"held",
	"slept",
	"rcu_tasks_holdout",
	"preempt_count",
	"trace_recursion",
	"nextCall",
	"wakeAt",
	"sleep_state",
	"wait_queue",
	"exiting",
	"oops",
	"ret_stack",
] as const;
export type TaskField = (typeof TASK_FIELDS)[number];
export type TaskFields = Readonly<Record<TaskField, unknown>>;

/** A shadow stack is a list; all other fields are numbers, flags and words. */
function fieldKey(value: unknown): string {
	return Array.isArray(value) ? value.map((call) => Object.values(call).join()).join(";") : String(value);
}

/** Everything about one task. Immutable, and the same object for the same state. */
export interface TaskState extends JudgedTask {
	readonly id: number;
	/** All of it, in words. */
	readonly key: string;
	/** Where it is in guest code, whatever its fields are: states of one place differ in the same data. */
	readonly place: string;
	/** Slot of the task: two tasks never share a state, because each has a stack of its own. */
	readonly slot: number;
	readonly fields: TaskFields;
	/** It runs in the kernel, and keeps its CPU until it sleeps or leaves, unless the kernel is preemptible. */
	readonly running: boolean;
	readonly handler: HandlerPlace | undefined;
	/** In a livepatch core that is guest code: the shared values that it has read there. */
	readonly core: string | undefined;
	/** Of the addresses on its stack; if it cannot be walked, of those that the kernel does not know. */
	readonly entriesKey: string;
	/**
	 * More than one, if tasks reached the same place with different data: the next move must not depend on the data.
	 */
	readonly contexts: GuestContext[];
	/** The next states if kernel code writes to the task, by the written fields. */
	readonly derived: Map<string, TaskState>;
}

/** A state with so many contexts is probably in a loop with a counter: the loop is followed, to see where it ends. */
const SUSPECT = 8;
/** Of more contexts than this in one state, the others are not followed. */
const CONTEXTS = 64;
/** The same, if states there hold the data that decides: a sum that the loop keeps has a value for each turn in which the task switched. */
const DECIDED_CONTEXTS = 256;

/** A loop of which the search does not know all ways out. */
export interface UnknownLoop {
	readonly slot: number;
	readonly entries: readonly number[];
	/** What the task does in it. */
	readonly how: string;
}

const COUNTS =
	"is at one place with more and more different data, as in a loop that counts: not all turns were followed";

/** What makes a state of a task; the rest of it follows. Plain data. */
export type TaskContent = Omit<
	TaskState,
	"id" | "key" | "place" | "contexts" | "derived" | "patch_state" | "found" | "exiting"
>;

/** All states of tasks that have been reached. */
export class TaskStates {
	readonly all: TaskState[] = [];
	readonly #byKey = new Map<string, TaskState>();
	/** Contexts that were added to a state after its moves were made: they must still be tried. */
	readonly late: { readonly state: TaskState; readonly context: number }[] = [];
	/** States of loops, each with its last context, that are to be followed: see Loops. */
	readonly suspects: { readonly state: TaskState; readonly context: GuestContext }[] = [];
	/** Places of loops that were followed in this exploration. */
	readonly followed = new Set<string>();
	readonly decisive = new DecisiveWords();
	/** Decisive words were found since {@link begin}. */
	grown = false;
	/** The first loop that was not followed to its end, if there is one. */
	loop: UnknownLoop | undefined = undefined;
	/** Contexts that states would get do not count: a loop is followed. */
	following = false;
	/** The context of the last call of {@link intern}. */
	last: GuestContext | undefined = undefined;
	/** Hashes of the contexts of a state. */
	readonly #contexts = new Map<TaskState, Set<string>>();
	/** States with too many contexts, with the one that stands for all that are not followed. */
	readonly #wide = new Map<TaskState, GuestContext>();
	/** By number - 1: data of tasks that is an origin (see {@link Origin}). */
	readonly #loops: UnknownLoop[] = [];
	/** Those of earlier explorations, which may have told fewer states apart. */
	#stale = 0;

	/** An exploration begins. */
	begin(): void {
		this.decisive.begin();
		this.grown = false;
		this.loop = undefined;
		this.late.length = 0;
		this.suspects.length = 0;
		this.followed.clear();
		this.#wide.clear();
		this.#stale = this.#loops.length;
	}

	/** There is a loop, or was one, of which not all turns are followed. */
	get hasUnknown(): boolean {
		return this.loop !== undefined || this.#loops.length > 0;
	}

	/** Without what an earlier exploration has marked. */
	fresh(origins: Origins | undefined): Origins | undefined {
		if (origins === undefined || this.#stale === 0) return origins;
		const keep = (origin: Origin): Origin => (origin > 0 && origin <= this.#stale ? 0 : origin);
		const stack = origins.stack.filter(([, origin]) => keep(origin) !== 0);
		return { registers: origins.registers.map(keep), stack };
	}

	/** Data of this origin decides something: a loop, of which not all turns are followed, has made it. */
	decided(origin: Origin): void {
		this.loop ??= this.#loops[origin - 1];
	}

	/** In state `state`, these words decide where the task goes. */
	find(state: TaskState, words: readonly number[]): void {
		this.decisive.add(state.place, words);
		this.grown = true;
	}

	intern(state: TaskContent, context: GuestContext): TaskState {
		const { at, fops, func, flag } = state.handler ?? {};
		const place = [at, state.entriesKey, state.core].join("|");
		const key = [
			state.slot,
			state.alive,
			state.running,
			...TASK_FIELDS.map((field) => fieldKey(state.fields[field])),
			fops,
			func === undefined ? undefined : entryKey(func),
			flag,
			state.chosen,
			place,
			this.decisive.valuesAt(place, context),
		].join("|");
		let known = this.#byKey.get(key);
		if (known === undefined) {
			const patch_state = state.fields.patch_state as number;
			const found = state.entries ?? [];
			const exiting = state.fields.exiting === true;
			known = {
				...state,
				patch_state,
				exiting,
				found,
				id: this.all.length,
				key,
				place,
				contexts: [],
				derived: new Map(),
			};
			this.all.push(known);
			this.#byKey.set(key, known);
			this.#contexts.set(known, new Set());
		}
		this.last = context;
		if (!this.following || known.contexts.length === 0) this.#addContext(known, context);
		return known;
	}

	#addContext(state: TaskState, context: GuestContext): void {
		const digest = digestOf(context);
		const known = this.#contexts.get(state)!;
		if (known.has(digest)) return;
		if (known.size >= (this.decisive.has(state.place) ? DECIDED_CONTEXTS : CONTEXTS)) {
			this.#widen(state, context);
			return;
		}
		known.add(digest);
		this.#push(state, context);
		if (known.size === SUSPECT && !this.followed.has(state.place)) this.suspects.push({ state, context });
	}

	#push(state: TaskState, context: GuestContext): void {
		state.contexts.push(context);
		if (state.contexts.length > 1) this.late.push({ state, context: state.contexts.length - 1 });
		// What kernel code writes to a task leaves its data as it is.
		for (const next of state.derived.values()) if (next !== state) this.#addContext(next, context);
	}

	/**
	 * There are too many contexts to follow each. One more stands for all further ones: that of the first, with all data that differs marked
	 * with an origin. While nothing depends on such data, all of them go where this one goes.
	 */
	#widen(state: TaskState, context: GuestContext): void {
		const [first] = state.contexts;
		const before = this.#wide.get(state) ?? { ...first!, origins: this.fresh(first!.origins) };
		const origins = originsOf(before, context, () => {
			return this.#loops.push({ slot: state.slot, entries: state.entries ?? [], how: COUNTS });
		});
		if (origins === "unlike") this.loop ??= { slot: state.slot, entries: state.entries ?? [], how: COUNTS };
		if (origins === undefined || origins === "unlike") return;
		const wide = { ...before, origins };
		this.#wide.set(state, wide);
		this.#push(state, wide);
	}

	/** State of each task that is not on the task list. */
	dead(): TaskState {
		const fields = Object.fromEntries(TASK_FIELDS.map((field) => [field, undefined])) as TaskState["fields"];
		const [alive, running] = [false, false];
		const nowhere = { handler: undefined, core: undefined, chosen: undefined, entries: [], inside: [], entriesKey: "" };
		return this.intern({ slot: -1, fields, alive, running, ...nowhere }, NO_CONTEXT);
	}

	/** The next state of `state` if kernel code writes these fields. */
	withFields(state: TaskState, written: Partial<Record<TaskField, unknown>>): TaskState {
		let key = "";
		for (const name in written) {
			const value = fieldKey(written[name as TaskField]);
			key += `${name}:${value.length}:${value}`;
		}
		let next = state.derived.get(key);
		if (next === undefined) {
			next = this.intern({ ...state, fields: { ...state.fields, ...written } }, state.contexts[0]!);
			for (const context of state.contexts) this.#addContext(next, context);
			state.derived.set(key, next);
		}
		return next;
	}
}

/**
 * The origins of `one`, with those of `other`, and a new one for data in which they differ. Undefined: there is nothing to add; "unlike":
 * they differ in where the task is.
 */
function originsOf(one: GuestContext, other: GuestContext, make: () => Origin): Origins | "unlike" | undefined {
	if (one.stack.length !== other.stack.length || one.words.length !== other.words.length) return "unlike";
	const registers = [...(one.origins?.registers ?? new Array<Origin>(FLAGS + 1).fill(0))];
	const stack = new Map(one.origins?.stack);
	let made: Origin | undefined;
	let isMore = false;
	const differs = (origin: Origin | undefined, isOther: boolean): Origin | undefined => {
		if (origin === undefined && !isOther) return undefined;
		isMore = true;
		if (origin !== undefined) return origin;
		made ??= make();
		return made;
	};
	for (let register = 0; register <= RFLAGS; register++) {
		if (register === RIP) continue;
		const at = register === RFLAGS ? FLAGS : register;
		if (registers[at] !== 0) continue;
		const origin = other.origins?.registers[at] || undefined;
		registers[at] = differs(origin, one.words[register] !== other.words[register]) ?? 0;
	}
	if (registers[RSP] !== 0 || one.words[RIP] !== other.words[RIP]) return "unlike";
	const others = new Map(other.origins?.stack);
	for (let i = 0; i < one.stack.length; i++) {
		const distance = one.stack.length - i;
		if (stack.has(distance)) continue;
		const origin = differs(others.get(distance), one.stack[i] !== other.stack[i]);
		if (origin !== undefined) stack.set(distance, origin);
	}
	if (!isMore) return undefined;
	return { registers, stack: [...stack].sort(([a], [b]) => b - a) };
}

function digestOf({ words, stack, origins }: GuestContext): string {
	const hash = new Hash();
	if (origins !== undefined) hash.add(JSON.stringify(origins));
	for (const { buffer, byteOffset, byteLength } of [words, stack]) {
		const bytes = new DataView(buffer, byteOffset, byteLength);
		hash.addInt(byteLength);
		for (let at = 0; at + 4 <= byteLength; at += 4) hash.addInt(bytes.getInt32(at, true));
		for (let at = byteLength & ~3; at < byteLength; at++) hash.addInt(bytes.getUint8(at));
	}
	return hash.digest();
}

/** Of a task that is not in the kernel. */
export const NO_CONTEXT: GuestContext = { words: new BigUint64Array(0), stack: new Uint8Array(0) };

/** The present state of a task. */
export function captureContext(machine: Machine, task: task_struct, origins?: Origins): GuestContext {
	const { stack, regs } = task;
	if (stack === undefined || task.mode !== "kernel") return NO_CONTEXT;
	const top = machine.stacks.stackTop(task);
	const sp = lowestUsed(task, top);
	return { words: regs.words.slice(), stack: machine.memory.read(sp, top - sp), origins };
}

/** What earlier moves have left below the stack pointer shows up where guest code makes room and writes nothing: moves are to be alike. */
export function clearBelow({ memory, stacks }: Machine, task: task_struct): void {
	const { stack } = task;
	if (stack === undefined) return;
	const top = stacks.stackTop(task);
	const low = task.mode === "kernel" ? lowestUsed(task, top) : top;
	const used = low - Number(BigInt.asIntN(32, stack.address));
	if (used > 0 && used < stack.length) memory.bytes.fill(0, stack.offset, stack.offset + used);
}

/** return_to_handler reads the word below its stack pointer: RET has left its own address there. */
function lowestUsed(task: task_struct, top: number): number {
	return Math.min(task.regs.kaddr(RSP), top) - (task.ret_stack.length > 0 ? 8 : 0);
}

/** Restores registers and stack. */
export function restoreContext(machine: Machine, task: task_struct, context: GuestContext): void {
	if (context.words.length === 0) return;
	task.regs.words.set(context.words);
	machine.memory.write(machine.stacks.stackTop(task) - context.stack.length, context.stack);
}
