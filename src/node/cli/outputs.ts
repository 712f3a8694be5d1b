import { resolve } from "node:path";
import { KlpemuError, printable, printableData } from "../../base/index.js";
import {
	type Report,
	renderFtrace,
	renderJunit,
	renderPerfetto,
	renderStepsKtap,
	renderSvg,
	renderTraceCmd,
	type Timeline,
} from "../../report/index.js";
import type { Recorder } from "../../scenario/index.js";
import { checkWritable, writeWhole } from "../files.js";
import type { Command } from "./command.js";

/** What `run` and `replay` write besides their report. */
export interface OutputOptions {
	readonly json: boolean;
	readonly story: boolean;
	readonly ktap: boolean;
	readonly junit: string | undefined;
	readonly svg: string | undefined;
	readonly trace: string | undefined;
	readonly ftrace: string | undefined;
	readonly traceCmd: string | undefined;
}

/** `steps`: what a report has one entry of, in the plural. */
export function outputOptions(steps: string): Command<Omit<OutputOptions, "json" | "story">>["options"] {
	return {
		ktap: { type: "flag", help: `print the ${steps} as KTAP instead` },
		junit: { type: "text", value: "FILE", help: `also write the ${steps} as JUnit's XML, for continuous integration` },
		svg: { type: "text", value: "FILE", help: "also write a space-time diagram, for a mail or a document" },
		trace: { type: "text", value: "FILE", help: "also write a trace for Perfetto (ui.perfetto.dev); slower" },
		ftrace: { type: "text", value: "FILE", help: "also write the calls as the function tracer shows them; slower" },
		traceCmd: { type: "text", value: "FILE", help: "the same as trace-cmd report prints them" },
	};
}

/** The files that are written from the report, and those that are written from the timeline. */
const FROM_REPORT = {
	junit: renderJunit,
	svg: renderSvg,
} satisfies Partial<Record<keyof OutputOptions, (report: Report) => string>>;
const FROM_TIMELINE = {
	trace: renderPerfetto,
	ftrace: (timeline: Timeline) => renderFtrace(printableData(timeline)),
	traceCmd: (timeline: Timeline) => renderTraceCmd(printableData(timeline)),
} satisfies Partial<Record<keyof OutputOptions, (timeline: Timeline) => string | Uint8Array>>;

const NAMES = {
	junit: "--junit",
	svg: "--svg",
	trace: "--trace",
	ftrace: "--ftrace",
	traceCmd: "--trace-cmd",
} as const;

/** A file must not take the place of one of `inputs`, nor of another file. Throws `CLI_BAD_ARGUMENT`, `FILE_UNWRITABLE`. */
export async function checkOutputs(command: string, inputs: readonly string[], options: OutputOptions): Promise<void> {
	const where = `klpemu ${command}`;
	for (const other of ["json", "story"] as const) {
		if (!options.ktap || !options[other]) continue;
		throw new KlpemuError("CLI_BAD_ARGUMENT", `--${other} and --ktap exclude each other`, { where });
	}
	const taken = new Set(inputs.map((path) => resolve(path)));
	for (const [key, option] of Object.entries(NAMES) as [keyof typeof NAMES, string][]) {
		const path = options[key];
		if (path === undefined) continue;
		if (!taken.has(resolve(path))) taken.add(resolve(path));
		else {
			const message = `${option}: '${path}' is the scenario, or the file of another option`;
			throw new KlpemuError("CLI_BAD_ARGUMENT", message, { where, hint: "give another file" });
		}
		await checkWritable(path);
	}
}

/** A recorder, if an option needs the timeline. */
export async function recorderFor(options: OutputOptions): Promise<Recorder | undefined> {
	const wanted = (Object.keys(FROM_TIMELINE) as (keyof typeof FROM_TIMELINE)[]).some(
		(key) => options[key] !== undefined,
	);
	return wanted ? new (await import("../../scenario/index.js")).Recorder() : undefined;
}

/** Writes all files that are asked for, and can be written. Throws `FILE_UNWRITABLE`, of the first that cannot. */
export async function writeOutputs(
	options: OutputOptions,
	report: Report,
	recorder: Recorder | undefined,
): Promise<void> {
	const errors: unknown[] = [];
	const write = async (path: string | undefined, content: () => string | Uint8Array) => {
		if (path !== undefined) await writeWhole(path, content()).catch((error) => errors.push(error));
	};
	for (const key of Object.keys(FROM_REPORT) as (keyof typeof FROM_REPORT)[]) {
		await write(options[key], () => FROM_REPORT[key](printableData(report)));
	}
	const timeline = recorder?.finish(`${report.scenario} (${report.design})`);
	if (timeline !== undefined) {
		for (const key of Object.keys(FROM_TIMELINE) as (keyof typeof FROM_TIMELINE)[]) {
			await write(options[key], () => FROM_TIMELINE[key](timeline));
		}
	}
	if (errors.length > 0) throw errors[0];
}

/** The KTAP of --ktap. */
export function ktapOf(report: Report): string {
	return printable(renderStepsKtap(report));
}
