/**
 * The same schedule under another design. Its kernel code has other points, so the moves cannot be counted: whoever moves goes on to the point
 * of the same name, and a move to a point that this design's code does not have is left out. The names of implementations do not count: where
 * one design runs lp2_funcA, another runs lp1_funcA.
 */
import type { Move } from "../../../src/explore/index.js";
import { TASK_RUNNING } from "../../../src/linux/sched/index.js";
import type { RecordedEvent, Track } from "../shared/recording.js";
import type { Player } from "./player.js";

/** Where a move of the original came to an end: at a point of this key, for the `count`th time. */
interface Goal {
	readonly move: Move;
	/** The step of the administrator in which it ended; empty: a task. */
	readonly title: string;
	readonly key: string;
	readonly count: number;
}

/** Most steps of an actor, and of a task, on the way to one goal. */
const LIMIT = 400;
const TASK_LIMIT = 12;
/** Most steps after the schedule. */
const MOST_AFTER = 4000;

/** Makes labels of one design comparable with those of another. */
export type Normalise = (label: string) => string;

/** Of a recording's tracks: the implementations that its func_stacks have held stand for their function. */
export function normaliser(tracks: ReadonlyMap<string, Track>): Normalise {
	const functions = new Map<string, string>();
	for (const [key, { values }] of tracks) {
		const [, func] = /^func_stack\/(.*)$/.exec(key) ?? [];
		if (func === undefined) continue;
		for (const stack of values as (readonly string[])[])
			for (const name of stack) if (name !== "nop") functions.set(name, func);
	}
	return (label) =>
		label
			.replace(/^klp_ftrace_handler: (ip = .*|the original)$/, "klp_ftrace_handler: chosen")
			.replace(/^(klp_ftrace_handler: func_stack) \(.*\)$/, "$1")
			.replace(/\w+/g, (name) => functions.get(name) ?? name);
}

const keyOf = ({ who, title, label }: RecordedEvent, normalise: Normalise): string =>
	`${who}\n${title}\n${normalise(label)}`;

/** The goals of a schedule's moves, from their recording. */
export function goalsOf(
	moves: readonly Move[],
	events: readonly RecordedEvent[],
	normalise: Normalise,
): Map<number, Goal> {
	const counts = new Counts(normalise);
	const goals = new Map<number, Goal>();
	for (const event of events) {
		const key = counts.add(event);
		const { move, title } = event;
		// The last event of a move counts.
		if (move >= 0) goals.set(move, { move: moves[move]!, title, key, count: counts.of(key) });
	}
	return goals;
}

/** How often each point was reached. */
export class Counts {
	readonly #counts = new Map<string, number>();
	readonly #normalise: Normalise;

	constructor(normalise: Normalise, events: readonly RecordedEvent[] = []) {
		this.#normalise = normalise;
		for (const event of events) this.add(event);
	}

	add(event: RecordedEvent): string {
		const key = keyOf(event, this.#normalise);
		this.#counts.set(key, this.of(key) + 1);
		return key;
	}

	of(key: string): number {
		return this.#counts.get(key) ?? 0;
	}
}

/** `known`: the points of this design's code, from an attempt before; undefined: this is the first. */
export function follow(
	player: Player,
	goals: ReadonlyMap<number, Goal>,
	normalise: Normalise,
	known: Counts | undefined,
): void {
	const counts = new Counts(normalise);
	let seen = 0;
	const reached = ({ key, count }: Goal): boolean => {
		for (; seen < player.events.length; seen++) counts.add(player.events[seen]!);
		return counts.of(key) >= count;
	};
	for (const [index, goal] of goals) {
		// This design's code never comes there, or has been there.
		if ((known !== undefined && known.of(goal.key) < goal.count) || reached(goal)) continue;
		const actor = player.actor(goal.move.who);
		if (actor < 0) followTask(player, index, goal, reached);
		else followActor(player, actor, index, goal, reached);
	}
}

type Reached = (goal: Goal) => boolean;

function followActor(player: Player, actor: number, index: number, goal: Goal, reached: Reached): void {
	const { move, title } = goal;
	// This design has come to the end of that step already.
	if (player.world.nextStep(actor) !== title) return;
	for (let step = 0; step < LIMIT; step++) {
		const busy = move.busy.filter((entry) => entry.step === step).map(({ task }) => player.world.slot(task));
		const made = player.moveActor(actor, index, new Set(busy), move.late && step === 0);
		if (made.kind === "blocked" || made.kind === "done" || reached(goal)) return;
	}
}

function followTask(player: Player, index: number, goal: Goal, reached: Reached): void {
	const { who } = goal.move;
	for (let step = 0; step < TASK_LIMIT; step++) {
		if (player.moveTask(who, index).kind !== "point" || reached(goal) || rests(player, who)) return;
	}
}

/** A task is in user mode, or asleep: it is not in the middle of anything. */
function rests(player: Player, name: string): boolean {
	const { fields } = player.world.loaded(player.world.slot(name));
	return fields.mode === "user" || fields.__state !== TASK_RUNNING || fields.held === true;
}

/** Lets everybody run, in turn, until the administrators have done all that they had to do. */
export function finish(player: Player): void {
	const { world } = player;
	const first = player.events.length;
	const tasks = player.lanes.filter(({ kind }) => kind === "task").map(({ name }) => name);
	const idle = player.lanes.filter(({ kind }) => kind === "idle").map(({ name }) => name);
	while (player.events.length - first < MOST_AFTER) {
		const before = player.events.length;
		for (const actor of world.actors.keys())
			for (let i = 0; i < LIMIT && player.moveActor(actor, -1).kind === "point"; i++);
		if (world.actors.every((_, actor) => world.nextStep(actor) === undefined)) return;
		for (const name of tasks)
			for (let i = 0; i < TASK_LIMIT * 5 && player.moveTask(name, -1).kind === "point" && !rests(player, name); i++);
		for (const name of idle) player.moveTask(name, -1);
		if (player.events.length === before) return;
	}
}
