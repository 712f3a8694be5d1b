import { KlpemuError } from "../../base/index.js";
import { INVARIANTS, type Invariant } from "../../consistency/index.js";
import type { Schedule, SearchOptions, Shard } from "../../explore/index.js";
import type { KernelCore } from "../../linux/klp-c/index.js";
import type { Scenario } from "../../scenario/index.js";
import { type ExploreRow, refusedRow, rowsOf } from "../explore-rows.js";
import { nodeHost } from "../host.js";
import type { DesignProgress, SharedFlag } from "./explore-control.js";
import { memoryEnd } from "./memory-limit.js";

/** What the searches of all designs have in common: data that another thread can get. */
export interface SearchSettings {
	/** The scenario's file. */
	readonly file: string;
	readonly budget: number;
	/** In seconds, for each design. */
	readonly time: number | undefined;
	/** In MiB, of the process. */
	readonly memory: number;
	/** Undefined: all. */
	readonly invariant: string | undefined;
	readonly everyInvariant: boolean;
	readonly inevitable: boolean;
	readonly reduction: boolean;
	readonly order: bigint | undefined;
	readonly shard: Shard | undefined;
	readonly cpu: string | undefined;
	/** A design that does not support the keys of the livepatches is a row of the table, not an error. */
	readonly allDesigns: boolean;
}

/** How a search is watched, and what only the main thread knows. */
export interface Watch extends Pick<SearchOptions, "journal" | "onMove" | "helpers" | "common"> {
	readonly stop: SharedFlag;
	readonly core: KernelCore | undefined;
	onProgress(at: DesignProgress): void;
	/** Called from time to time. */
	pause(): Promise<void> | undefined;
}

/** Result for one design. */
export interface ExploredDesign {
	/** Name of the design that was explored. */
	readonly design: string;
	readonly rows: readonly ExploreRow[];
	readonly schedules: readonly Schedule[];
}

/** Explores a scenario under one design; undefined: the scenario's, or that of `watch.core`. */
export async function exploreDesign(
	scenario: Scenario,
	design: string | undefined,
	settings: SearchSettings,
	watch: Watch,
): Promise<ExploredDesign> {
	const { exploreScenario } = await import("../../scenario/index.js");
	const begin = performance.now();
	const elapsed = () => (performance.now() - begin) / 1000;
	const { file, budget, time = Number.POSITIVE_INFINITY, invariant, cpu } = settings;
	/** Why the search had to end, unless for lack of states or time. */
	let full: string | undefined;
	const isFull = () => {
		full = memoryEnd(settings.memory);
		return full !== undefined;
	};
	try {
		const found = await exploreScenario({
			scenario,
			machine: { host: nodeHost(file), design, cpu, core: watch.core },
			budget,
			invariants: new Set(invariant === undefined ? INVARIANTS : [invariant as Invariant]),
			all: settings.everyInvariant,
			outlook: settings.inevitable,
			reduction: settings.reduction,
			order: settings.order,
			shard: settings.shard,
			helpers: watch.helpers,
			common: watch.common,
			journal: watch.journal,
			onMove: watch.onMove,
			interrupted: () => watch.stop.isSet || elapsed() > time || isFull(),
			pause: async () => {
				await new Promise<void>((resolve) => setImmediate(resolve));
				await watch.pause();
			},
			onProgress: (states, at) => watch.onProgress({ ...at, states, seconds: elapsed() }),
		});
		const rows = rowsOf(found, Math.round(elapsed() * 1000) / 1000);
		return {
			design: found.design,
			rows: rows.map((row) => (row.result === "bounded" ? { ...row, reason: row.reason ?? full } : row)),
			schedules: found.schedules,
		};
	} catch (error) {
		// The other designs may support the keys of its livepatches.
		const isRefusal = error instanceof KlpemuError && error.code === "SCENARIO_FOREIGN_KEY";
		if (!settings.allDesigns || !isRefusal || design === undefined) throw error;
		return { design, rows: [refusedRow(design, error.message)], schedules: [] };
	}
}
