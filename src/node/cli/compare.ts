import { printable } from "../../base/index.js";
import { designs } from "../../designs/index.js";
import { parseScenario } from "../../scenario/index.js";
import { type Comparison, compareTranscript, parseTranscript, TIMING, type Timing } from "../compare/index.js";
import { readText } from "../files.js";
import { nodeHost } from "../host.js";
import { type Command, EXIT } from "./command.js";
import { coreOption, readCore } from "./core-option.js";

interface CompareOptions {
	readonly design: string | undefined;
	readonly core: string | undefined;
	readonly json: boolean;
}

const designNames = designs.map(({ name }) => name);

export const compareCommand: Command<CompareOptions> = {
	positionals: [
		{ name: "FILE", help: "a scenario, YAML" },
		{ name: "TRANSCRIPT", help: "what a real kernel said: of klpemu vm, of a kit's run.sh, or recorded by hand" },
	],
	options: {
		design: {
			type: "text",
			value: "DESIGN",
			help: "that of the real kernel, instead of what the transcript or the scenario says",
			choices: () => designNames,
		},
		core: coreOption,
		json: {
			type: "flag",
			help: "print JSON: agrees, differences (at, message), timing, forgiven (with kind), ...",
		},
	},
	details: [
		"Runs the scenario, and compares state by state: what each task runs, patch_state, TIF_PATCH_PENDING,",
		"the function that it sleeps in, sysfs, reference counts, livepatched functions; the results of the",
		"commands; the lines of livepatch in dmesg, in order. What differs from run to run is named, and does",
		"not count.",
		"Exit status: 0 they agree, 1 they differ, 2 bad input, or a transcript of another scenario.",
		"",
		"Example:",
		"  klpemu compare scenarios/force.yaml force/transcript.txt",
	],
	async run({ design, core: coreFile, json }, [file, recorded], { stdout }) {
		const scenario = parseScenario(await readText(file!), file!, { designs: designNames });
		const transcript = parseTranscript(await readText(recorded!));
		const core = await readCore("compare", coreFile, design);
		const options = {
			host: nodeHost(file!),
			design: core === undefined ? (design ?? transcript.design) : undefined,
			core,
		};
		const comparison = await compareTranscript(scenario, transcript, options);
		stdout.write(printable(json ? asJson(comparison) : asText(comparison)));
		return comparison.differences.length === 0 ? EXIT.ok : EXIT.no;
	},
};

function asJson({ timing, ...rest }: Comparison): string {
	const agrees = rest.differences.length === 0;
	return `${JSON.stringify({ schema: 1, agrees, ...rest, timing: Object.fromEntries(timing) }, undefined, "\t")}\n`;
}

function asText({ differences, timing, states, facts, commands, lines }: Comparison): string {
	const compared = `${states} states (${facts} facts), ${commands} commands, ${lines} lines of dmesg`;
	const verdict = differences.length === 0 ? "agrees" : `differs in ${differences.length} places`;
	const forgiven = [...timing].map(([kind, count]) => `  ${kind}, ${count} x: ${TIMING[kind as Timing]}`);
	return [
		`${verdict}: ${compared}`,
		...differences.map(({ at, message }) => `  ${at}: ${message}`),
		...(forgiven.length > 0 ? ["timing, which does not count:", ...forgiven] : []),
		"",
	].join("\n");
}
