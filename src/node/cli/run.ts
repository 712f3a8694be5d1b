import { KlpemuError, printable, printableData, printableJson } from "../../base/index.js";
import { designs } from "../../designs/index.js";
import { type Report, renderMarkdown, renderReport, storyOf, wantsColour } from "../../report/index.js";
import { parseScenario } from "../../scenario/index.js";
import { CPU_NAMES } from "../cpus.js";
import { readText } from "../files.js";
import { nodeHost } from "../host.js";
import { END_SIGNALS } from "../process-end.js";
import { type Command, EXIT, type Io } from "./command.js";
import { coreOption, readCore } from "./core-option.js";
import { checkOutputs, ktapOf, type OutputOptions, outputOptions, recorderFor, writeOutputs } from "./outputs.js";
import { runAndWatch, tellingReads } from "./watch.js";

export interface RunOptions extends OutputOptions {
	readonly design: string | undefined;
	readonly core: string | undefined;
	readonly cpu: string | undefined;
	readonly seed: bigint | undefined;
	readonly dmesg: boolean;
	readonly watch: boolean;
	readonly keepGoing: boolean;
	readonly traceInsns: boolean;
}

/** A test gives its own. */
export type RunScenario = typeof import("../../scenario/index.js").runScenario;

/** Clears a terminal (ECMA-48: ED, CUP). */
const CLEAR = "\x1b[2J\x1b[H";
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
			watch: { type: "flag", help: "run again when the scenario or one of its sources changes; Ctrl-C ends" },
			story: { type: "flag", help: "print the steps with their effects as Markdown instead" },
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
			await checkOutputs("run", [file!], options);
			return options.watch ? watchRuns(file!, options, io, once) : once(file!, options, io, () => {});
		},
	};

	/** `reads`: told of each file that is read. */
	async function once(file: string, options: RunOptions, io: Io, reads: (file: string) => void): Promise<number> {
		reads(file);
		const scenario = parseScenario(await readText(file), file, { designs: designNames });
		const core = await readCore("run", options.core, options.design);
		const recorder = await recorderFor(options);
		const report = await runScenario(scenario, {
			host: tellingReads(nodeHost(file), reads),
			design: options.design,
			core,
			cpu: options.cpu,
			seed: options.seed,
			recorder,
			stopAtFailure: !options.keepGoing,
			traceInsns: options.traceInsns ? traceTo(options.json ? io.stderr : io.stdout) : undefined,
		});
		// The files first: a reader that goes, or a full disk behind standard output, ends the process.
		try {
			await writeOutputs(options, report, recorder);
		} finally {
			print(report, options, io);
		}
		return report.asExpected ? EXIT.ok : EXIT.no;
	}
}

/** Ends with Ctrl-C, and the status of the last run. An error in the input waits for the next change. */
async function watchRuns(
	file: string,
	options: RunOptions,
	io: Io,
	once: (file: string, options: RunOptions, io: Io, reads: (file: string) => void) => Promise<number>,
): Promise<number> {
	const control = new AbortController();
	const end = () => control.abort();
	for (const signal of END_SIGNALS) process.once(signal, end);
	try {
		return await runAndWatch(async (reads) => {
			if (io.stdout.isTTY) io.stdout.write(CLEAR);
			const status = await once(file, options, io, reads).catch((error) => {
				if (!(error instanceof KlpemuError)) throw error;
				io.stderr.write(`${error.format()}\n`);
				return EXIT.badInput;
			});
			if (!control.signal.aborted) io.stderr.write(`status ${status}; waiting for a change (Ctrl-C ends)\n`);
			return status;
		}, control.signal);
	} finally {
		for (const signal of END_SIGNALS) process.removeListener(signal, end);
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
		stdout.write(ktapOf(report));
		return;
	}
	if (options.story) {
		stdout.write(printable(renderMarkdown(storyOf(printableData(report)))));
		return;
	}
	const text = renderReport(report, {
		width: Math.min(stdout.columns ?? (Number(env.COLUMNS) || 100), 120),
		colour: wantsColour(env, stdout),
		dmesg: options.dmesg,
	});
	stdout.write(`${text}\n`);
}
