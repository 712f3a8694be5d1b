import { KlpemuError } from "../base/index.js";
import { shortestOfEach } from "./merge.js";
import type { Model, ModelTask } from "./model.js";
import { isEndless, type Rehearser, Replayer } from "./replay.js";
import {
	type FoundViolation,
	Memo,
	outlookOf,
	Rehearsal,
	Search,
	type SearchMove,
	type SearchOptions,
	type SearchResult,
} from "./search/index.js";
import { World } from "./world/index.js";

/** States of a search that only looks for shared memory. */
const SCOUTED = 3_000;
/** So many of these that find nothing are enough. */
const QUIET_SCOUTS = 2;

/** Result of the exploration of one scenario under one design. */
export interface Exploration extends SearchResult {
	/** The tasks that made moves, for each of its searches. */
	readonly searches: readonly (readonly string[])[];
	/** Why a bounded exploration has not seen all states, if it is not for lack of states or time. */
	readonly reason: string | undefined;
	/** The accesses of guest code that are points (see SharedMemory.points()). */
	readonly points: readonly string[];
	/** Number of real executions of kernel code and guest code; all other results came from the memo. */
	readonly executed: { readonly kernel: number; readonly guest: number; readonly replayed: number };
}

/**
 * Explores a model. With reduction, in several searches: in each, the tasks that steps name and the tasks of one
 * further group move, and the other tasks stay outside of the kernel. Tasks do not act on each other, and one task
 * breaks an invariant, so that no violation is lost (docs/exploring.md).
 */
export async function explore(model: Model, options: SearchOptions): Promise<Exploration> {
	return (await exploreToShorten(model, options)).exploration;
}

/** An exploration, and who can tell what else breaks the invariants of its schedules. What that executes counts nowhere. */
export interface Shortenable {
	readonly exploration: Exploration;
	readonly rehearser: Rehearser;
}

/** See {@link explore}. */
export async function exploreToShorten(model: Model, options: SearchOptions): Promise<Shortenable> {
	const world = new World(model);
	// A core that is guest code always shares memory.
	for (let hasToScout = model.machine.klp.code !== undefined; ; ) {
		if (hasToScout) await scout(model, world, options);
		const found = await tryOnce(model, world, options);
		if (found !== undefined && !world.grown) return found;
		// Not all accesses that are points were points.
		if (options.interrupted?.() && found !== undefined) {
			const { exploration, rehearser } = found;
			if (exploration.result !== "complete") return found;
			return { exploration: { ...exploration, result: "bounded" }, rehearser };
		}
		({ hasToScout } = world);
		world.restart();
	}
}

/**
 * Finds shared memory (world/shared-memory.ts) in a part of the schedules that is quickly explored, down to the last steps of the
 * scenario: otherwise it would be found step by step, and the exploration would begin again each time.
 */
async function scout(model: Model, world: World, options: SearchOptions): Promise<void> {
	let quiet = 0;
	for (let order = 1n; quiet < QUIET_SCOUTS && !options.interrupted?.(); order++) {
		const all = { ...options, budget: SCOUTED, order, all: true, shard: undefined, onProgress: undefined };
		await tryOnce(model, world, all);
		quiet = world.grown ? 0 : quiet + 1;
		world.restart();
	}
}

/** Undefined: a search has failed, because two states were taken for one. That happens while words that are state are not known. */
async function tryOnce(model: Model, world: World, options: SearchOptions): Promise<Shortenable | undefined> {
	try {
		return await exploreOnce(model, world, options);
	} catch (error) {
		if (!world.grown) throw error;
		return undefined;
	}
}

/** `world` is in its first state. */
async function exploreOnce(model: Model, world: World, options: SearchOptions): Promise<Shortenable> {
	const { helpers, common } = options;
	const memo = new Memo(world, options.invariants, { executions: helpers?.begin(world), common });
	const searches = options.reduction ? groupsOf(model, memo.world.restless) : [allOf(model, memo)];
	let [states, transitions, depth, bytes, bounded] = [0, 0, 0, 0, false];
	const visited = new Map<string, number>();
	const found: FoundViolation[] = [];
	/** The tasks that moved in the search that has found it. */
	const by = new Map<FoundViolation, readonly string[]>();
	for (const active of searches) {
		const left = { ...options, budget: Math.max(options.budget - states, 1) };
		const onProgress: SearchOptions["onProgress"] = (count, at) => options.onProgress?.(states + count, at);
		const onMove = options.onMove && numbered(options.onMove, states);
		const result = await new Search(model, memo, active, { ...left, onProgress, onMove }).run();
		states += result.states;
		transitions += result.transitions;
		depth = Math.max(depth, result.depth);
		bytes += result.bytes;
		for (const [state, degree] of result.visited ?? []) visited.set(`${active.join()} ${state}`, degree);
		bounded ||= result.result === "bounded";
		found.push(...result.violations);
		for (const violation of result.violations) by.set(violation, active);
		if (world.grown) break;
	}
	const shortest = shortestOfEach(found, ({ broken, moves }) => ({
		invariant: broken.invariant,
		length: moves.length,
	}));
	let violations = shortest.sort((a, b) => a.moves.length - b.moves.length);
	if (!options.all) violations = violations.slice(0, 1);
	if (options.outlook && !world.grown) {
		const looked: FoundViolation[] = [];
		for (const one of violations) {
			looked.push({ ...one, outlook: await outlookOf(model, memo, by.get(one)!, one, options) });
		}
		violations = looked;
	}
	// With the values of one run, a task may have gone where it cannot come to.
	if (violations.length > 0 && world.shared.lost !== undefined && !world.grown) {
		const replayer = new Replayer(model, [], world);
		violations = violations.filter((one) => isReal(replayer, one));
		bounded = true;
	}
	const result = violations.length > 0 ? "violated" : bounded ? "bounded" : "complete";
	const shared = options.shard === undefined ? undefined : visited;
	const reason = result === "bounded" ? memo.world.loopReason() : undefined;
	const executed = { ...memo.executed };
	const points = world.shared.points();
	const counts = { states, transitions, depth, bytes, executed };
	const exploration = { result, violations, ...counts, visited: shared, searches, reason, points } as const;
	// What the search knows is only true if it knows all ways of tasks.
	const rehearser = world.hasUnknown ? new Replayer(model, [], world) : new Rehearsal(memo);
	return { exploration, rehearser };
}

/** The schedule breaks the invariant. */
function isReal(replayer: Replayer, { broken, moves }: FoundViolation): boolean {
	try {
		const done = replayer.replay(moves, new Set([broken.invariant]));
		return isEndless(broken.invariant) || done.at(-1)?.broken.length !== 0;
	} catch (error) {
		if (error instanceof KlpemuError) return false;
		throw error;
	}
}

/** The states of each search are numbered from 0; `first`: number of the first state of this one among all. */
function numbered(onMove: (move: SearchMove) => void, first: number): (move: SearchMove) => void {
	return ({ from, to, describe, ...rest }) =>
		onMove({
			...rest,
			from: from + first,
			to: to === undefined ? undefined : to + first,
			describe: (state) => describe(state - first),
		});
}

function groupsOf(model: Model, restless: readonly string[]): string[][] {
	const moves = ({ name, named }: ModelTask) => named || restless.includes(name);
	const named = model.tasks.filter(moves).map(({ name }) => name);
	// If tasks run on the CPUs, the idle tasks need no moves of their own.
	const always = model.idleSleeps ? [...named, ...model.machine.sched.cpus.map(({ idle }) => idle.comm)] : named;
	const groups = new Map<string, string>();
	for (const task of model.tasks) {
		if (task.runs && !moves(task) && !groups.has(task.group)) groups.set(task.group, task.name);
	}
	return groups.size === 0 ? [always] : [...groups.values()].map((name) => [name, ...always]);
}

function allOf(model: Model, memo: Memo): string[] {
	const idle = model.machine.sched.cpus.map((cpu) => cpu.idle.comm);
	return memo.world.names.filter((name) => idle.includes(name) || model.tasks.some((task) => task.name === name));
}
