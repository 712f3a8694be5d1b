import { dirname, isAbsolute, join } from "node:path";
import { KlpemuError } from "../../base/index.js";
import { designs } from "../../designs/index.js";
import { parseSchedule } from "../../explore/index.js";
import { parseScenario } from "../../scenario/index.js";
import { CPU_NAMES } from "../cpus.js";
import { readIfThere, readText } from "../files.js";
import { nodeHost } from "../host.js";
import { PROJECT } from "../project.js";
import { type Command, EXIT } from "./command.js";

export interface ReplayOptions {
	readonly story: boolean;
	readonly cpu: string | undefined;
	readonly json: boolean;
}

export const replayCommand: Command<ReplayOptions> = {
	positionals: [{ name: "FILE", help: "a schedule that klpemu explore --save wrote" }],
	options: {
		story: { type: "flag", help: "as numbered steps: who does what, func_stack, who sees what" },
		cpu: { type: "text", value: "CPU", help: CPU_NAMES.join(" or "), choices: () => [...CPU_NAMES] },
		json: { type: "flag", help: "print { schema, design, invariant, message, moves: [{ who, points }] }" },
	},
	details: [
		"The scenario is looked for where the schedule says, from here and from the schedule's folder.",
		"Exit status: 0 the schedule breaks what it says, 1 it does not, 2 bad input.",
	],
	async run({ story, cpu, json }, [file], { stdout }) {
		const schedule = parseSchedule(await readText(file!), file!);
		const path = await findScenario(schedule.scenario, file!);
		const text = await readText(path);
		const { fingerprintOf, replaySchedule } = await import("../../scenario/index.js");
		if (fingerprintOf(text) !== schedule.fingerprint) {
			const hint = `explore ${path} again`;
			throw new KlpemuError("SCHEDULE_STALE", `${path} is not what it was when the schedule was made`, {
				where: file!,
				hint,
			});
		}
		const names = designs.map(({ name }) => name);
		const scenario = parseScenario(text, path, { designs: names });
		const replay = await replaySchedule(scenario, schedule, {
			host: nodeHost(path),
			design: schedule.design,
			...(cpu !== undefined && { cpu }),
		});
		const broken = replay.moves.at(-1)?.broken[0];
		const verdict = broken === undefined ? "nothing is broken" : `${broken.invariant}: ${broken.message}`;
		if (json) {
			const moves = replay.moves.map(({ move: { who }, points }) => ({ who, points }));
			const { invariant = null, message = null } = broken ?? {};
			stdout.write(
				`${JSON.stringify({ schema: 1, design: schedule.design, invariant, message, moves }, undefined, 2)}\n`,
			);
		} else if (story) stdout.write(replay.story);
		else stdout.write(`${schedule.design}: ${replay.moves.length} moves: ${verdict}\n`);
		return broken?.invariant === schedule.invariant || schedule.invariant === "stuck" ? EXIT.ok : EXIT.no;
	},
};

async function findScenario(name: string, schedule: string): Promise<string> {
	const places = isAbsolute(name) ? [name] : [name, join(dirname(schedule), name), join(PROJECT, name)];
	for (const place of places) if ((await readIfThere(place)) !== undefined) return place;
	throw new KlpemuError("FILE_MISSING", `there is no scenario '${name}'`, { where: schedule, hint: places.join(", ") });
}
