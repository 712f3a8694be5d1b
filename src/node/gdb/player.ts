import { KlpemuError } from "../../base/index.js";
import type { Machine } from "../../machine/index.js";
import type { RunScenarioOptions, Scenario } from "../../scenario/index.js";
import { type Capture, capture, type Reason } from "./capture.js";
import { History, MAX_EVENTS } from "./history.js";
import { ProgramMap } from "./program-map.js";
import { Snapshots } from "./snapshots.js";
import { Take, type Watch } from "./take.js";
import { threadOf } from "./threads.js";
import { Watcher, type Watchpoint } from "./watchpoints.js";

/** Machines at the last positions that are kept: a debugger goes there and back. */
const KEPT = 8;

interface Recorded {
	readonly history: History;
	readonly file: Uint8Array;
	readonly take: Take;
	readonly snapshots: Snapshots;
}

/** Thrown to end a run at a position. */
class Arrived extends Error {
	readonly captured: Capture;

	constructor(captured: Capture) {
		super("the run has arrived");
		this.captured = captured;
	}
}

/**
 * Takes a debugger to any position of a run, forwards and backwards. The run is deterministic: to be at a position is to run again from
 * the snapshot before it up to there. What a debugger asks for is read from a copy of the machine.
 */
export class Player {
	readonly history: History;
	/** An ELF file with symbols and debug information of all code. */
	readonly file: Uint8Array;
	readonly #scenario: Scenario;
	readonly #options: RunScenarioOptions;
	/** The machine that was recorded, which the snapshots are of. */
	readonly #take: Take;
	readonly #snapshots: Snapshots;
	#executed = 0;
	/** By position, the last used one last. */
	readonly #kept = new Map<number, Capture>();

	private constructor(scenario: Scenario, options: RunScenarioOptions, recorded: Recorded) {
		this.#scenario = scenario;
		this.#options = options;
		this.history = recorded.history;
		this.file = recorded.file;
		this.#take = recorded.take;
		this.#snapshots = recorded.snapshots;
	}

	/** Runs a scenario to its end, and notes what it executes. Throws `GDB_TOO_LONG`, and what a run throws. */
	static async record(scenario: Scenario, options: RunScenarioOptions): Promise<Player> {
		const history = new History();
		const map = new ProgramMap();
		const snapshots = new Snapshots();
		const onEvent: Watch["onEvent"] = (machine, ip, action) => {
			map.look(machine);
			const thread = threadOf(machine.sched.current);
			const added = action === undefined ? history.add(thread, ip) : history.addStep(thread, action);
			if (added) return;
			throw new KlpemuError("GDB_TOO_LONG", `the scenario executes more than ${MAX_EVENTS} instructions`, {
				where: scenario.fileName,
				hint: "a shorter scenario shows the same: fewer rounds, fewer tasks",
			});
		};
		const onPlace: Watch["onPlace"] = (save) => {
			const position = history.length;
			const snapshot = snapshots.isDue(position) ? save() : undefined;
			if (snapshot !== undefined) snapshots.add({ ...snapshot, position });
		};
		const take = await Take.create(scenario, options, { onEvent, onPlace });
		try {
			take.run();
			const file = map.file(take.machine, take.objects);
			return new Player(scenario, options, { history, file, take, snapshots });
		} catch (error) {
			take.close();
			throw error;
		}
	}

	/** Events that have been made again since the recording: what all moves together have cost. */
	get executed(): number {
		return this.#executed;
	}

	/** Positions of the snapshots, ascending. A move to a position makes the events from the snapshot before it again. */
	get snapshots(): readonly number[] {
		return this.#snapshots.positions;
	}

	/** Frees the machine. */
	close(): void {
		this.#take.close();
	}

	/** The machine at a position; at history.length, at the end. */
	async at(position: number, reason?: Reason): Promise<Capture> {
		const kept = this.#kept.get(position);
		const found = kept ?? (await this.#run(position, position));
		this.#keep(found);
		return { ...found, reason };
	}

	/** The machine at the first position behind `from` at which a watchpoint has been hit; at `to`, if none is hit before. */
	async watchForward(from: number, to: number, watchpoints: readonly Watchpoint[]): Promise<Capture> {
		return this.#run(to, from, watching(from, watchpoints));
	}

	/**
	 * The last position from `from` on and before `to` whose instruction hits a watchpoint; undefined: there is none. Looks behind the
	 * last snapshot first, then behind the one before.
	 */
	async watchBackward(
		from: number,
		to: number,
		watchpoints: readonly Watchpoint[],
	): Promise<{ readonly position: number; readonly reason: Reason } | undefined> {
		let end = to;
		while (end > from) {
			const begin = Math.max(from, this.#snapshots.before(end - 1)?.position ?? 0);
			let last: { readonly position: number; readonly reason: Reason } | undefined;
			const hit = watching(begin, watchpoints);
			await this.#run(end, begin, (machine, position) => {
				const reason = hit(machine, position);
				if (reason !== undefined) last = { position: position - 1, reason };
				return undefined;
			});
			if (last !== undefined) return last;
			end = begin;
		}
		return undefined;
	}

	/** Runs up to a position, or to the first one from `from` on for which `stops` gives a reason. */
	async #run(
		target: number,
		from: number,
		stops?: (machine: Machine, position: number) => Reason | undefined,
	): Promise<Capture> {
		const snapshot = this.#snapshots.before(Math.min(from, target));
		let position = snapshot?.position ?? 0;
		const begin = position;
		const onEvent: Watch["onEvent"] = (machine, ip) => {
			const reason = stops?.(machine, position);
			if (reason !== undefined || position === target) throw new Arrived(capture(machine, position, ip !== 0, reason));
			if (this.history.ip(position) !== ip || this.history.thread(position) !== threadOf(machine.sched.current))
				throw new Error(`the run is another one when it is made again: event ${position}`);
			position++;
		};
		// What is before the first snapshot is short, and a machine of its own makes it.
		const take = snapshot && this.#take;
		let fresh: Take | undefined;
		try {
			if (take !== undefined) take.runFrom(snapshot!, { onEvent });
			else {
				fresh = await Take.create(this.#scenario, this.#options, { onEvent });
				fresh.run();
			}
			const { machine } = (take ?? fresh)!;
			return capture(machine, position, false, stops?.(machine, position));
		} catch (error) {
			if (error instanceof Arrived) return error.captured;
			throw error;
		} finally {
			this.#executed += position - begin;
			fresh?.close();
		}
	}

	#keep(captured: Capture): void {
		this.#kept.delete(captured.position);
		this.#kept.set(captured.position, captured);
		// A client that connects gets the beginning: it does not wait for long.
		const oldest = [...this.#kept.keys()].find((position) => position > 0);
		if (this.#kept.size > KEPT && oldest !== undefined) this.#kept.delete(oldest);
	}
}

/** Tells of the watchpoints that are hit behind the event at `from`. */
function watching(from: number, watchpoints: readonly Watchpoint[]) {
	let watcher: Watcher | undefined;
	return (machine: Machine, position: number): Reason | undefined => {
		if (position < from) return undefined;
		if (watcher !== undefined) return watcher.hit();
		watcher = new Watcher(machine, watchpoints);
		watcher.begin();
		return undefined;
	};
}
