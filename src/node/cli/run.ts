import { printable, printableJson } from "../../base/index.js";
import { designs } from "../../designs/index.js";
import { type Report, renderReport, wantsColour } from "../../report/index.js";
import { parseScenario } from "../../scenario/index.js";
import { CPU_NAMES } from "../cpus.js";
import { readText } from "../files.js";
import { nodeHost } from "../host.js";
import { type Command, EXIT, type Io } from "./command.js";
import { coreOption, readCore } from "./core-option.js";
import { checkOutputs, ktapOf, type OutputOptions, outputOptions, recorderFor, writeOutputs } from "./outputs.js";

export interface RunOptions extends OutputOptions {
	readonly design: string | undefined;
	readonly core: string | undefined;
	readonly cpu: string | undefined;
	readonly seed: bigint | undefined;
	readonly dmesg: boolean;
	readonly keepGoing: boolean;
	readonly traceInsns: boolean;
}

/** A test gives its own. */
export type RunScenario = typeof import("../../scenario/index.js").runScenario;

const designNames = designs.map(({ name }) => name);

const engine: RunScenario = async (scenario, options) =>
	(await import("../../scenario/index.js")).runScenario(scenario, { stopAtFailure: true, ...options });

export const runCommand = makeRunCommand(engine);

export function makeRunCommand(runScenario: RunScenario): Command<RunOptions> {
	return {
		positionals: [{ name: "FILE", help: "a scenario, YAML" }],
		options: {
			design: {
				type: "text",
				value: "DESIGN",
				help: "the replace design, instead of the scenario's (klpemu designs lists them)",
				choices: () => designNames,
			},
			core: coreOption,
			cpu: { type: "text", value: "CPU", help: CPU_NAMES.join(" or "), choices: () => [...CPU_NAMES] },
			seed: { type: "uint64", value: "N", help: "seed of the schedule, instead of the scenario's" },
			json: { type: "flag", help: "print the report as one JSON document" },
			dmesg: { type: "flag", help: "show under each step what the kernel printed" },
			keepGoing: { type: "flag", help: "also run the steps behind one that does not end as the scenario says" },
			traceInsns: {
				type: "flag",
				help: "print each executed instruction (with --json to standard error); long",
			},
			...outputOptions("steps"),
		},
		details: [
			"Exit status: 0 as the scenario expects, 1 not so, 2 bad input.",
			"",
			"Example:",
			"  klpemu run scenarios/hybrid-lp1-lp2-lp3.yaml --design universe",
			"  klpemu run scenarios/hybrid-lp1-lp2-lp3.yaml --core linux-6.12.klpcore",
		],
		async run(options, [file], io) {
			checkOutputs("run", [file!], options);
			const scenario = parseScenario(await readText(file!), file!, { designs: designNames });
			const core = await readCore("run", options.core, options.design);
			const recorder = await recorderFor(options);
			const report = await runScenario(scenario, {
				host: nodeHost(file!),
				...(options.design === undefined ? {} : { design: options.design }),
				...(core && { core }),
				...(options.cpu === undefined ? {} : { cpu: options.cpu }),
				...(options.seed === undefined ? {} : { seed: options.seed }),
				...(recorder && { recorder }),
				...(options.keepGoing ? { stopAtFailure: false } : {}),
				...(options.traceInsns ? { traceInsns: traceTo(options.json ? io.stderr : io.stdout) } : {}),
			});
			print(report, options, io);
			await writeOutputs(options, report, recorder);
			return report.asExpected ? EXIT.ok : EXIT.no;
		},
	};
}

function traceTo(output: Io["stdout"]): (line: string) => void {
	return (line) => {
		output.write(`${printable(line)}\n`);
	};
}

function print(report: Report, options: RunOptions, { stdout, env }: Io): void {
	if (options.json) {
		stdout.write(`${printableJson(report)}\n`);
		return;
	}
	if (options.ktap) {
		stdout.write(ktapOf(report));
		return;
	}
	const text = renderReport(report, {
		width: Math.min(stdout.columns ?? (Number(env.COLUMNS) || 100), 120),
		colour: wantsColour(env, stdout),
		dmesg: options.dmesg,
	});
	stdout.write(`${text}\n`);
}
