import { KlpemuError } from "../../base/index.js";
import { type Machine, restoreMachine, saveMachine } from "../../machine/index.js";
import { type Kaddr, toKaddr } from "../../memory/index.js";
import {
	beginOn,
	createScenarioMachine,
	type LoadedObjects,
	type RunScenarioOptions,
	type Scenario,
	type ScenarioRun,
} from "../../scenario/index.js";
import type { Snapshot } from "./snapshots.js";

/** Watches a run. */
export interface Watch {
	/** Called for each event, before it is made. `ip`: 0 for the beginning of a step. May throw to end the run. */
	onEvent(machine: Machine, ip: Kaddr, action: string | undefined): void;
	/** Called where the machine may be saved. `save`: undefined if it cannot. */
	onPlace?(save: () => Omit<Snapshot, "position"> | undefined): void;
}

/** A machine on which a scenario runs, and which can go back to a {@link Snapshot} of itself. */
export class Take {
	readonly machine: Machine;
	readonly objects: LoadedObjects;
	#watch: Watch;
	#run: ScenarioRun | undefined = undefined;
	/** The beginning of the present step. */
	#begin: Snapshot["begin"] = undefined;
	/** What the first round of the present step is to restore. */
	#resume: Snapshot | undefined = undefined;

	private constructor(machine: Machine, objects: LoadedObjects, watch: Watch) {
		this.machine = machine;
		this.objects = objects;
		this.#watch = watch;
	}

	/** A new machine, before its first step. `watch` is told of what the creation of tasks executes. */
	static async create(scenario: Scenario, options: RunScenarioOptions, watch: Watch): Promise<Take> {
		const { machine, objects } = await createScenarioMachine(scenario, options);
		const take = new Take(machine, objects, watch);
		const recorder = {
			attach: () => take.#attach(),
			beginStep: (_index: number, action: string) => take.#beginStep(action),
			endStep: () => {},
			violation: () => {},
		};
		try {
			take.#run = await beginOn(machine, objects, scenario, { ...options, recorder });
			return take;
		} catch (error) {
			machine.close();
			throw error;
		}
	}

	/** Runs from the first step to the end. */
	run(): void {
		this.#run!.run();
	}

	/** Runs from a snapshot of this machine to the end. */
	runFrom(snapshot: Snapshot, watch: Watch): void {
		const { machine, place } = snapshot.begin ?? snapshot;
		this.#watch = watch;
		// The run before may have ended anywhere.
		this.machine.rounds.abandon();
		restoreMachine(this.machine, machine);
		this.#resume = snapshot.begin && snapshot;
		this.#run!.runFrom(place);
	}

	close(): void {
		this.machine.close();
	}

	/** Instructions are told from the beginning on: Unicorn does not tell of those that it has translated before it was asked to. */
	#attach(): void {
		const { machine } = this;
		machine.observe({
			round: () => this.#beginRound(),
			instruction: (rip) => {
				if (this.#resume === undefined) this.#watch.onEvent(machine, toKaddr(rip), undefined);
			},
		});
	}

	#beginStep(action: string): void {
		this.#begin = undefined;
		if (this.#watch.onPlace !== undefined) {
			this.#begin = this.#save();
			this.#watch.onPlace(() => this.#begin);
		}
		if (this.#resume === undefined) this.#watch.onEvent(this.machine, 0, action);
	}

	#beginRound(): void {
		if (this.#run?.place.rounds === undefined || this.machine.busy) return;
		if (this.#resume !== undefined) {
			restoreMachine(this.machine, this.#resume.machine);
			this.#run.goTo(this.#resume.place);
			this.#resume = undefined;
			return;
		}
		this.#watch.onPlace?.(() => {
			const now = this.#begin && this.#save();
			return now && { ...now, begin: this.#begin! };
		});
	}

	/** Undefined: kernel code in TypeScript is in progress. */
	#save(): Snapshot["begin"] {
		const { machine } = this;
		try {
			return { place: this.#run!.place, machine: saveMachine(machine) };
		} catch (error) {
			if (error instanceof KlpemuError && error.code === "SNAPSHOT_BUSY") return undefined;
			throw error;
		}
	}
}
