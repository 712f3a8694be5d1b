import { resolve } from "node:path";
import { KlpemuError, printable, printableJson } from "../../base/index.js";
import { INVARIANTS } from "../../consistency/index.js";
import { byLikeness, designs } from "../../designs/index.js";
import { Common, Helpers, type Schedule, type SearchMove, type Shard } from "../../explore/index.js";
import type { KernelCore } from "../../linux/klp-c/index.js";
import { parseScenario, type Scenario } from "../../scenario/index.js";
import { CPU_NAMES } from "../cpus.js";
import type { ExploreRow } from "../explore-rows.js";
import { checkWritable, readText, writeWhole } from "../files.js";
import { saveSchedule } from "../schedules.js";
import { type Command, EXIT, type Io } from "./command.js";
import { coreOption, readCore } from "./core-option.js";
import { CHECKPOINT_SECONDS, type CheckpointOptions, Checkpoints } from "./explore-checkpoints.js";
import { Control, type DesignProgress } from "./explore-control.js";
import { exploreDesign, type SearchSettings } from "./explore-design.js";
import type { HelperData } from "./explore-helper.js";
import { HelperThread } from "./explore-helpers.js";
import { type ExploreReport, exitStatus, exploreTable } from "./explore-report.js";
import { exploreDesigns, MAX_WORKERS } from "./explore-threads.js";
import { columnsOf } from "./fold.js";
import { DEFAULT_MEMORY } from "./memory-limit.js";
import { parallelOf } from "./parallel.js";
import { parseShard } from "./shard.js";
import { DOT_STATES, StateGraphCollector } from "./state-graph.js";

export interface ExploreOptions extends CheckpointOptions {
	readonly budget: bigint | undefined;
	readonly time: bigint | undefined;
	readonly memory: bigint | undefined;
	readonly workers: bigint | undefined;
	readonly inevitable: boolean;
	readonly save: string | undefined;
	readonly core: string | undefined;
	readonly cpu: string | undefined;
	readonly json: boolean;
}

const designNames = designs.map(({ name }) => name);
/** Default of --budget in states: about 64 MB. */
const BUDGET = 4_000_000;
/** States of a part: its report names each, and a text of V8 has at most 512 MB. */
const MAX_SHARD = 8_000_000;

export const exploreCommand: Command<ExploreOptions> = {
	positionals: [{ name: "FILE", help: "a scenario, YAML" }],
	options: {
		design: { type: "text", value: "DESIGN", help: "instead of the scenario's", choices: () => designNames },
		allDesigns: { type: "flag", help: "compare all designs in one table" },
		budget: { type: "uint64", value: "STATES", help: `stop after so many states (default ${BUDGET})` },
		time: { type: "uint64", value: "SECONDS", help: "stop after so many seconds, for each design" },
		memory: { type: "uint64", value: "MIB", help: `stop at so much memory in use (default ${DEFAULT_MEMORY})` },
		workers: {
			type: "uint64",
			value: "N",
			help: `1 to ${MAX_WORKERS} threads (default 1, with --all-designs the cores)`,
		},
		invariant: { type: "text", value: "NAME", help: "look for this one only", choices: () => INVARIANTS },
		everyInvariant: { type: "flag", help: "go on: the shortest schedule for each invariant" },
		inevitable: { type: "flag", help: "of each schedule: from which move on nothing helps; chances before" },
		noReduction: { type: "flag", help: "leave nothing out (docs/exploring.md); slow" },
		order: { type: "uint64", value: "SEED", help: "depth first, at random: a bounded search sees other states" },
		shard: { type: "text", value: "I/N", help: "the I-th of N parts, from 1; klpemu merge joins their reports" },
		checkpoint: {
			type: "text",
			value: "FILE",
			help: "save there from time to time, and if it does not come to the end",
		},
		checkpointEvery: { type: "uint64", value: "SECONDS", help: `default ${CHECKPOINT_SECONDS}` },
		resume: { type: "text", value: "FILE", help: "go on from a checkpoint, and save there" },
		save: { type: "text", value: "DIR", help: "write the schedules there, for klpemu replay" },
		dot: { type: "text", value: "FILE", help: `draw the states for Graphviz: ${DOT_STATES} states at most` },
		core: coreOption,
		cpu: { type: "text", value: "CPU", help: CPU_NAMES.join(" or "), choices: () => [...CPU_NAMES] },
		json: { type: "flag", help: "print one JSON document" },
	},
	details: [
		"complete: every reachable state was seen. violated: see the schedule.",
		"bounded: not all were seen (no states, time or memory left; a loop counts); the rest is unknown.",
		"expected: are the verdict and the results of all steps as the scenario says? (docs/exploring.md)",
		"Exit status: 0 as the scenario says, 1 not so, 2 bad input or an unwritable file, 3 bounded.",
		"Ctrl-C, SIGTERM and SIGHUP end the search, save the checkpoint, and print what is known so far.",
		"",
		"Examples:",
		"  klpemu explore scenarios/hybrid-lp1-lp2-lp3.yaml --all-designs",
		"  klpemu explore scenarios/hybrid-lp1-lp2-lp3.yaml --save found",
		"  klpemu replay found/hybrid-lp1-lp2-lp3.rfc-2025.mixed-universe.schedule --story",
	],
	async run(options, [file], io) {
		const unsaved: KlpemuError[] = [];
		const report = await exploreFile(file!, options, io, unsaved);
		io.stdout.write(options.json ? `${printableJson(report)}\n` : printable(exploreTable(report, columnsOf(io))));
		// The verdict first: it may have taken hours.
		if (unsaved[0] !== undefined) throw unsaved[0];
		const all = !options.allDesigns || new Set(report.results.map(({ design }) => design)).size === designs.length;
		return exitStatus(report.results) || (all ? EXIT.ok : EXIT.bounded);
	},
};

/** `unsaved`: gets the errors of schedules that could not be saved. */
async function exploreFile(
	file: string,
	options: ExploreOptions,
	io: Io,
	unsaved: KlpemuError[],
): Promise<ExploreReport> {
	refuseDesigns(options);
	const core = await readCore("explore", options.core, options.design);
	const text = await readText(file);
	const scenario = parseScenario(text, file, { designs: designNames });
	const shard = shardOf(options.shard);
	if (shard !== undefined) refuseParts(options);
	if (options.dot !== undefined) await checkWritable(options.dot);
	const graph = options.dot === undefined ? undefined : graphFor(file, options);
	const checkpoints = await Checkpoints.from(options, scenario, file, core);
	const settings = settingsOf(file, options, shard);
	const threads = options.allDesigns
		? []
		: startHelpers(options, { text, file }, designOf(options, core, scenario), io);
	const control = new Control(io, settings.budget);
	const common = options.allDesigns ? new Common() : undefined;
	const explore = (design: string | undefined) => {
		const watch = {
			stop: control.stop,
			core,
			journal: checkpoints?.journal,
			onMove: graph && ((move: SearchMove) => graph.add(move)),
			onProgress: (at: DesignProgress) => control.onProgress(design ?? "core", at),
			pause: () => checkpoints?.maybeSave(),
			helpers: threads.length === 0 ? undefined : new Helpers(threads),
			common,
		};
		return exploreDesign(scenario, design, settings, watch);
	};
	const results: ExploreRow[] = [];
	try {
		const data = { text, designs: designNames, settings };
		const found = options.allDesigns
			? await exploreDesigns(
					designNames,
					byLikeness(designs).map(({ name }) => name),
					parallelOf(options.workers, "--workers", MAX_WORKERS, "klpemu explore"),
					explore,
					control,
					data,
				)
			: [await explore(designOf(options, core, scenario))];
		for (const { design, rows, schedules } of found) {
			if (graph !== undefined) await writeWhole(options.dot!, graph.render(`${scenario.title} (${design})`));
			if (rows.some(({ result }) => result === "bounded")) await checkpoints?.save();
			results.push(...(options.save === undefined ? rows : await saved(options.save, rows, schedules, unsaved)));
		}
	} finally {
		control.end();
		for (const thread of threads) await thread.end();
	}
	const { title, preemption } = scenario;
	return { schema: 1, scenario: title, preemption, shard: options.shard, results };
}

/** The C of a core has rules of its own. */
function designOf({ design }: ExploreOptions, core: KernelCore | undefined, scenario: Scenario): string | undefined {
	const own = core !== undefined || (scenario.core !== undefined && design === undefined);
	return own ? undefined : (design ?? scenario.design);
}

function settingsOf(file: string, options: ExploreOptions, shard: Shard | undefined): SearchSettings {
	const { time, memory, invariant, everyInvariant, inevitable, order, cpu, allDesigns } = options;
	return {
		...{ file, invariant, everyInvariant, inevitable, order, cpu, allDesigns, shard },
		budget: Number(options.budget ?? BUDGET),
		time: time === undefined ? undefined : Number(time),
		memory: Number(memory ?? DEFAULT_MEMORY),
		reduction: !options.noReduction,
	};
}

const badArgument = (message: string, hint?: string) =>
	new KlpemuError("CLI_BAD_ARGUMENT", message, { where: "klpemu explore", hint });

/** Throws `CLI_BAD_ARGUMENT` for options that do not go with --all-designs, or only with it. */
function refuseDesigns({ allDesigns, design, core, workers, order }: ExploreOptions): void {
	if (allDesigns && design !== undefined) throw badArgument("--design and --all-designs exclude each other");
	if (allDesigns && core !== undefined) {
		throw badArgument(
			"--core and --all-designs exclude each other",
			"the C of a kernel core has its own rules for replacing livepatches; another design is another C: klpemu kernel build --patch",
		);
	}
	if (workers !== undefined && order !== undefined && !allDesigns) {
		throw badArgument("--workers and --order exclude each other", "threads divide the levels of a search in breadth");
	}
}

/** The threads that execute for the search of one design; none if it makes everything itself. Throws `CLI_BAD_ARGUMENT`. */
function startHelpers(
	{ workers, core, cpu }: ExploreOptions,
	{ text, file }: Pick<HelperData, "text" | "file">,
	design: string | undefined,
	io: Io,
): HelperThread[] {
	const count = parallelOf(workers ?? 1n, "--workers", MAX_WORKERS, "klpemu explore");
	if (count === 1) return [];
	const data: Omit<HelperData, "port"> = { helps: true, text, file, designs: designNames, design, core, cpu };
	const onEnd = (why: string) => io.stderr.write(`a thread of the search has ended (${why}): it goes on without it\n`);
	return Array.from({ length: count - 1 }, () => new HelperThread(data, onEnd));
}

/** Throws `CLI_BAD_ARGUMENT` for options that do not go with --shard. */
function refuseParts({ inevitable, order, budget }: ExploreOptions): void {
	if (inevitable) {
		throw badArgument(
			"--shard and --inevitable exclude each other",
			"what can follow a state must be seen by one process",
		);
	}
	if (order !== undefined) {
		throw badArgument("--shard and --order exclude each other", "the parts divide the levels of a search in breadth");
	}
	if ((budget ?? 0n) > MAX_SHARD) {
		throw badArgument(
			`with --shard, --budget is at most ${MAX_SHARD}`,
			"the report of a part names each of its states; make more parts",
		);
	}
}

/** Throws `CLI_BAD_ARGUMENT`. */
function graphFor(file: string, { dot, allDesigns, shard }: ExploreOptions): StateGraphCollector {
	if (allDesigns) throw badArgument("--dot and --all-designs exclude each other", "--design chooses one for the graph");
	if (shard !== undefined)
		throw badArgument("--dot and --shard exclude each other", "a graph small enough to draw needs no parts");
	if (resolve(dot!) === resolve(file)) throw badArgument(`--dot: '${dot}' is the scenario`, "give another file");
	return new StateGraphCollector();
}

/** Saves the schedules of a design's rows; the rows then name their files. */
async function saved(
	folder: string,
	rows: readonly ExploreRow[],
	schedules: readonly Schedule[],
	unsaved: KlpemuError[],
): Promise<ExploreRow[]> {
	const all: ExploreRow[] = [];
	for (const [index, row] of rows.entries()) {
		const schedule = schedules[index];
		const file = schedule && (await saveSchedule(folder, schedule).catch((error) => note(error, unsaved)));
		all.push(file === undefined ? row : { ...row, file });
	}
	return all;
}

function note(error: unknown, unsaved: KlpemuError[]): undefined {
	if (!(error instanceof KlpemuError)) throw error;
	unsaved.push(error);
	return undefined;
}

function shardOf(text: string | undefined): Shard | undefined {
	if (text === undefined) return undefined;
	const shard = parseShard(text);
	if (shard !== undefined) return shard;
	throw badArgument(`--shard must be I/N with 1 <= I <= N, for example 1/4, not '${text}'`);
}
