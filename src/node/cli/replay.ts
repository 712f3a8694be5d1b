import { dirname, isAbsolute, join, resolve } from "node:path";
import { KlpemuError, printable, printableJson } from "../../base/index.js";
import { designs } from "../../designs/index.js";
import { isEndless, parseSchedule, type Schedule } from "../../explore/index.js";
import { parseScenario, type Scenario } from "../../scenario/index.js";
import { CPU_NAMES } from "../cpus.js";
import { readIfThere, readText } from "../files.js";
import { nodeHost } from "../host.js";
import { PROJECT } from "../project.js";
import { type Command, EXIT } from "./command.js";
import { coreOption, readCore } from "./core-option.js";
import { checkOutputs, ktapOf, type OutputOptions, outputOptions, recorderFor, writeOutputs } from "./outputs.js";

export interface ReplayOptions extends OutputOptions {
	readonly core: string | undefined;
	readonly cpu: string | undefined;
}

export const replayCommand: Command<ReplayOptions> = {
	positionals: [{ name: "FILE", help: "a schedule that klpemu explore --save wrote" }],
	options: {
		story: {
			type: "flag",
			help: "as numbered steps in Markdown, with func_stack and the functions that tasks see",
		},
		core: { ...coreOption, help: "the kernel core with which the schedule was found" },
		cpu: { type: "text", value: "CPU", help: CPU_NAMES.join(" or "), choices: () => [...CPU_NAMES] },
		json: { type: "flag", help: "print { schema, design, invariant, message, moves: [{ who, points, places }] }" },
		...outputOptions("moves"),
	},
	details: [
		"The scenario is looked for where the schedule says: from the schedule's folder and those above it,",
		"from the current folder, and from the package of klpemu. Its comments and layout may have changed,",
		"its code and steps not.",
		"Exit status: 0 the schedule breaks what it says, 1 it does not, 2 bad input.",
	],
	async run(options, [file], { stdout }) {
		const { story, core, cpu, json } = options;
		const schedule = parseSchedule(await readText(file!, "klpemu explore SCENARIO --save FILE writes one"), file!);
		const kernel = await readCore("replay", core, undefined);
		const { replaySchedule } = await import("../../scenario/index.js");
		const scenario = await findScenario(schedule, file!);
		const ownCore = scenario.core !== undefined;
		await checkOutputs("replay", [file!, scenario.fileName], options);
		const recorder = await recorderFor(options);
		const replay = await replaySchedule(scenario, schedule, {
			host: nodeHost(scenario.fileName),
			core: kernel,
			design: kernel === undefined && !ownCore && schedule.core === undefined ? schedule.design : undefined,
			cpu,
			recorder,
		});
		const broken = replay.moves.at(-1)?.broken[0];
		const endless = broken === undefined && isEndless(schedule.invariant);
		const nothing = endless
			? `${schedule.invariant}: ${schedule.message} (nothing that can follow helps)`
			: "nothing is broken";
		const verdict = broken === undefined ? nothing : `${broken.invariant}: ${broken.message}`;
		const text = (): string => {
			if (options.ktap) return ktapOf(replay.report);
			if (story) return printable(replay.markdown);
			if (!json) return `${schedule.design}: ${replay.moves.length} moves: ${verdict}\n`;
			const moves = replay.moves.map(({ move: { who }, points, places }) => ({
				...{ who, points },
				places: places.map((place) => place ?? null),
			}));
			const { invariant = null, message = null } = broken ?? {};
			return `${printableJson({ schema: 1, design: schedule.design, invariant, message, moves })}\n`;
		};
		// The files first, as in run.
		try {
			await writeOutputs(options, replay.report, recorder);
		} finally {
			stdout.write(text());
		}
		return endless || broken?.invariant === schedule.invariant ? EXIT.ok : EXIT.no;
	},
};

/**
 * The scenario of a schedule: relative to its folder or one above that, to the current folder, or to the package of klpemu; of several, the
 * one that the schedule was made of. Throws `FILE_MISSING`, `SCHEDULE_STALE`.
 */
async function findScenario({ scenario: name, fingerprint }: Schedule, schedule: string): Promise<Scenario> {
	const { fingerprintOf, textFingerprint } = await import("../../scenario/index.js");
	const places = isAbsolute(name) ? [name] : [...new Set(placesOf(name, schedule))];
	const found: string[] = [];
	for (const place of places) {
		if ((await readIfThere(place)) === undefined) continue;
		found.push(place);
		const text = await readText(place);
		if (textFingerprint(text) === fingerprint) return parse(text, place);
		const scenario = tryParse(text, place);
		if (scenario && (await fingerprintOf(scenario, nodeHost(place).files)) === fingerprint) return scenario;
	}
	const [path] = found;
	if (path === undefined) {
		const hint = `looked for: ${places.join(", ")}`;
		throw new KlpemuError("FILE_MISSING", `there is no scenario '${name}'`, { where: schedule, hint });
	}
	// If it is no scenario any more, that says more.
	parse(await readText(path), path);
	throw new KlpemuError("SCHEDULE_STALE", `${path}, or a source of it, is not what it was when the schedule was made`, {
		where: schedule,
		hint: `explore ${path} again`,
	});
}

function placesOf(name: string, schedule: string): string[] {
	const places: string[] = [];
	for (let folder = dirname(resolve(schedule)); ; folder = dirname(folder)) {
		places.push(join(folder, name));
		if (dirname(folder) === folder) break;
	}
	// The folder of the schedule itself comes first, those above it last.
	return [places[0]!, name, join(PROJECT, name), ...places.slice(1)];
}

function parse(text: string, file: string): Scenario {
	return parseScenario(text, file, { designs: designs.map((design) => design.name) });
}

/** undefined: it is no scenario. */
function tryParse(text: string, file: string): Scenario | undefined {
	try {
		return parse(text, file);
	} catch (error) {
		if (error instanceof KlpemuError) return undefined;
		throw error;
	}
}
