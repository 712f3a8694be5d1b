import { resolve } from "node:path";
import { KlpemuError, printable, printableData, printableJson } from "../../base/index.js";
import { designs } from "../../designs/index.js";
import { type Report, renderJunit, renderReport, renderStepsKtap, renderSvg, wantsColour } from "../../report/index.js";
import { parseScenario } from "../../scenario/index.js";
import { CPU_NAMES } from "../cpus.js";
import { readText, writeWhole } from "../files.js";
import { nodeHost } from "../host.js";
import { type Command, EXIT, type Io } from "./command.js";
import { coreOption, readCore } from "./core-option.js";

export interface RunOptions {
	readonly design: string | undefined;
	readonly core: string | undefined;
	readonly cpu: string | undefined;
	readonly seed: bigint | undefined;
	readonly json: boolean;
	readonly dmesg: boolean;
	readonly keepGoing: boolean;
	readonly traceInsns: boolean;
	readonly ktap: boolean;
	readonly junit: string | undefined;
	readonly svg: string | undefined;
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
			ktap: { type: "flag", help: "print the steps as KTAP instead" },
			junit: { type: "text", value: "FILE", help: "also write the steps as JUnit's XML, for continuous integration" },
			svg: { type: "text", value: "FILE", help: "also write a space-time diagram, for a mail or a document" },
		},
		details: [
			"Exit status: 0 as the scenario expects, 1 not so, 2 bad input.",
			"",
			"Example:",
			"  klpemu run scenarios/hybrid-lp1-lp2-lp3.yaml --design universe",
			"  klpemu run scenarios/hybrid-lp1-lp2-lp3.yaml --core linux-6.12.klpcore",
		],
		async run(options, [file], io) {
			if (options.json && options.ktap) {
				throw new KlpemuError("CLI_BAD_ARGUMENT", "--json and --ktap exclude each other", { where: "klpemu run" });
			}
			checkOutputs(file!, options);
			const scenario = parseScenario(await readText(file!), file!, { designs: designNames });
			const core = await readCore("run", options.core, options.design);
			const report = await runScenario(scenario, {
				host: nodeHost(file!),
				...(options.design === undefined ? {} : { design: options.design }),
				...(core && { core }),
				...(options.cpu === undefined ? {} : { cpu: options.cpu }),
				...(options.seed === undefined ? {} : { seed: options.seed }),
				...(options.keepGoing ? { stopAtFailure: false } : {}),
				...(options.traceInsns ? { traceInsns: traceTo(options.json ? io.stderr : io.stdout) } : {}),
			});
			print(report, options, io);
			if (options.junit !== undefined) await writeWhole(options.junit, renderJunit(printableData(report)));
			if (options.svg !== undefined) await writeWhole(options.svg, renderSvg(printableData(report)));
			return report.asExpected ? EXIT.ok : EXIT.no;
		},
	};
}

/** A report must not take the place of the scenario, nor of the other report. Throws `CLI_BAD_ARGUMENT`. */
function checkOutputs(scenario: string, { junit, svg }: RunOptions): void {
	const taken = new Set([resolve(scenario)]);
	for (const [option, path] of [["--junit", junit] as const, ["--svg", svg] as const]) {
		if (path === undefined) continue;
		if (!taken.has(resolve(path))) taken.add(resolve(path));
		else {
			const message = `${option}: '${path}' is the scenario, or the file of another option`;
			throw new KlpemuError("CLI_BAD_ARGUMENT", message, { where: "klpemu run", hint: "give another file" });
		}
	}
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
		stdout.write(printable(renderStepsKtap(report)));
		return;
	}
	const text = renderReport(report, {
		width: Math.min(stdout.columns ?? (Number(env.COLUMNS) || 100), 120),
		colour: wantsColour(env, stdout),
		dmesg: options.dmesg,
	});
	stdout.write(`${text}\n`);
}
