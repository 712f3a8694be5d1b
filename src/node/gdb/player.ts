import { KlpemuError } from "../../base/index.js";
import type { Machine } from "../../machine/index.js";
import { type Kaddr, toKaddr } from "../../memory/index.js";
import {
	createScenarioMachine,
	type LoadedObjects,
	type RunScenarioOptions,
	runOn,
	type Scenario,
} from "../../scenario/index.js";
import { type Capture, capture, type Reason } from "./capture.js";
import { History, MAX_EVENTS } from "./history.js";
import { ProgramMap } from "./program-map.js";
import { threadOf } from "./threads.js";
import { Watcher, type Watchpoint } from "./watchpoints.js";

/** Machines at the last positions that are kept: a debugger goes there and back. */
const KEPT = 8;

/** Called for each event of a run, before it is made. `ip`: 0 for the beginning of a step. May throw to end the run. */
type OnEvent = (machine: Machine, ip: Kaddr, action: string | undefined) => void;

interface Watch {
	readonly onEvent: OnEvent;
	/** Called at each mark, see {@link History.marks}. */
	onMark(): void;
	/** Number of the mark from which on events are told; -1: from the start. Up to there the Cpu runs at full speed. */
	readonly from: number;
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
 * the beginning up to there. What a debugger asks for is read from a copy of the machine.
 */
export class Player {
	readonly history: History;
	/** An ELF file with symbols and debug information of all code. */
	readonly file: Uint8Array;
	readonly #scenario: Scenario;
	readonly #options: RunScenarioOptions;
	/** By position, the last used one last. */
	readonly #kept = new Map<number, Capture>();

	private constructor(scenario: Scenario, options: RunScenarioOptions, history: History, file: Uint8Array) {
		this.history = history;
		this.file = file;
		this.#scenario = scenario;
		this.#options = options;
	}

	/** Runs a scenario to its end, and notes what it executes. Throws `GDB_TOO_LONG`, and what a run throws. */
	static async record(scenario: Scenario, options: RunScenarioOptions): Promise<Player> {
		const history = new History();
		const map = new ProgramMap();
		const onEvent: OnEvent = (machine, ip, action) => {
			map.look(machine);
			const thread = threadOf(machine.sched.current);
			const added = action === undefined ? history.add(thread, ip) : history.addStep(thread, action);
			if (added) return;
			throw new KlpemuError("GDB_TOO_LONG", `the scenario executes more than ${MAX_EVENTS} instructions`, {
				where: scenario.fileName,
				hint: "a shorter scenario shows the same: fewer rounds, fewer tasks",
			});
		};
		const watch = { onEvent, onMark: () => history.addMark(), from: -1 };
		const file = await run(scenario, options, watch, (machine, objects) => map.file(machine, objects));
		return new Player(scenario, options, history, file);
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

	/** The last position from `from` on and before `to` whose instruction hits a watchpoint; undefined: there is none. */
	async watchBackward(
		from: number,
		to: number,
		watchpoints: readonly Watchpoint[],
	): Promise<{ readonly position: number; readonly reason: Reason } | undefined> {
		let last: { readonly position: number; readonly reason: Reason } | undefined;
		const hit = watching(from, watchpoints);
		await this.#run(to, from, (machine, position) => {
			const reason = hit(machine, position);
			if (reason !== undefined) last = { position: position - 1, reason };
			return undefined;
		});
		return last;
	}

	/** Runs up to a position, or to the first one from `from` on for which `stops` gives a reason. */
	async #run(
		target: number,
		from: number,
		stops?: (machine: Machine, position: number) => Reason | undefined,
	): Promise<Capture> {
		const mark = this.#canSkip ? this.history.markBefore(Math.min(from, target)) : -1;
		let position = mark < 0 ? 0 : this.history.marks[mark]!;
		const onEvent: OnEvent = (machine, ip) => {
			const reason = stops?.(machine, position);
			if (reason !== undefined || position === target) throw new Arrived(capture(machine, position, ip !== 0, reason));
			position++;
		};
		try {
			return await run(this.#scenario, this.#options, { onEvent, onMark: () => {}, from: mark }, (machine) => {
				return capture(machine, position, false, stops?.(machine, position));
			});
		} catch (error) {
			if (error instanceof Arrived) return error.captured;
			throw error;
		}
	}

	/** Unicorn does not tell of instructions in code that it has translated before it was asked to. */
	get #canSkip(): boolean {
		return (this.#options.cpu ?? this.#scenario.cpu) !== "unicorn";
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

/** Runs a scenario on a machine of its own. `atEnd` gives the result, if no event ends the run. */
async function run<T>(
	scenario: Scenario,
	options: RunScenarioOptions,
	{ onEvent, onMark, from }: Watch,
	atEnd: (machine: Machine, objects: LoadedObjects) => T,
): Promise<T> {
	const { machine, objects } = await createScenarioMachine(scenario, options);
	let marks = 0;
	let tells = false;
	const tell = () => {
		tells = true;
		machine.observe({ instruction: (rip) => onEvent(machine, toKaddr(rip), undefined) });
	};
	const mark = () => {
		if (marks++ === from) tell();
		onMark();
	};
	try {
		const recorder = {
			attach: () => {
				machine.observe({ round: mark });
				if (from < 0) tell();
			},
			beginStep: (_index: number, action: string) => {
				mark();
				if (tells) onEvent(machine, 0, action);
			},
			endStep: () => {},
			violation: () => {},
		};
		await runOn(machine, objects, scenario, { ...options, recorder });
		return atEnd(machine, objects);
	} finally {
		machine.close();
	}
}
