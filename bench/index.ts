/** npm run bench: the cost of each design on the hot redirect path. The method is in docs/benchmarks.md. */
import { fork } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { designs } from "../src/designs/index.js";
import { CPU_NAMES, hintBranches, writeInFolder } from "../src/node/index.js";
import { collect } from "./collect.js";
import { type BenchReport, chooseCore, KERNEL, kernelCore, machineWarnings, type Part } from "./common/index.js";
import { compare } from "./compare.js";
import { renderComparison, renderPage, renderText } from "./report/index.js";
import { type Job, jobs, runJob, SUITES, type SuiteName } from "./suites/index.js";

const USAGE = `npm run bench -- [options]
  --suite A,B      only these suites: ${SUITES.join(", ")}
  --design A,B     only these designs; kernel: the kernel's own livepatch code
  --cpu A,B        only these Cpus: ${CPU_NAMES.join(", ")}
  --core FILE      the kernel core for design kernel (default .cache/linux-6.12.klpcore)
  --processes N    how often everything is measured, each time in fresh processes (default 5)
  --smoke          shows that everything runs, and measures nothing
  --json           prints the report as JSON
  --html FILE      also writes a page with plots
  --compare OLD    says what changed beyond noise since an older report (a file that --json printed)
  --from NEW       does not measure, but reads a report`;

const OPTIONS = {
	suite: { type: "string" },
	design: { type: "string" },
	cpu: { type: "string" },
	core: { type: "string" },
	processes: { type: "string", default: "5" },
	smoke: { type: "boolean", default: false },
	json: { type: "boolean", default: false },
	html: { type: "string" },
	compare: { type: "string" },
	from: { type: "string" },
	worker: { type: "string" },
	help: { type: "boolean", default: false },
} as const;

/** Ends with the message and exit status 2 after a mistake of the user. */
function refuse(message: string): never {
	console.error(`${message}\n\n${USAGE}`);
	process.exit(2);
}

function readArgs() {
	try {
		return parseArgs({ options: OPTIONS }).values;
	} catch (error) {
		return refuse((error as Error).message);
	}
}

/** The names of a list, each of which must be known. */
function list<T extends string>(option: string, text: string | undefined, known: readonly T[]): readonly T[] {
	if (text === undefined) return known;
	const names = text.split(",");
	const unknown = names.find((name) => !known.includes(name as T));
	if (unknown !== undefined) refuse(`--${option}: there is no '${unknown}'; there are ${known.join(", ")}`);
	return known.filter((name) => names.includes(name));
}

async function readReport(file: string): Promise<BenchReport> {
	let report: BenchReport;
	try {
		report = JSON.parse(await readFile(file, "utf8")) as BenchReport;
	} catch (error) {
		return refuse(`${file} is not a report: ${(error as Error).message}`);
	}
	if (report.schema !== 1) refuse(`${file} has schema ${report.schema}; this program reads 1`);
	return report;
}

/** Runs a job in a process of its own, so that the code that V8 makes for one design does not affect another one. */
function inProcess(job: Job): Promise<Part> {
	return new Promise((resolve, reject) => {
		let part: Part | undefined;
		const child = fork(fileURLToPath(import.meta.url), ["--worker", JSON.stringify(job)]);
		child.on("message", (message) => {
			part = message as Part;
		});
		child.on("error", reject);
		child.on("exit", (status) => {
			if (part !== undefined && status === 0) resolve(part);
			else reject(new Error(`${job.suite} (${job.design}, ${job.cpu}) ends with status ${status}`));
		});
	});
}

/** A progress line, which is overwritten on a terminal. */
function progress(text: string): void {
	if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
	else if (text !== "") process.stderr.write(`${text}\n`);
}

async function measure(values: ReturnType<typeof readArgs>): Promise<BenchReport> {
	const { smoke } = values;
	const processes = smoke ? 1 : Number(values.processes);
	if (!Number.isInteger(processes) || processes < 1)
		refuse(`--processes: '${values.processes}' is not a number of processes`);
	if (values.core !== undefined) chooseCore(values.core);
	const found = await kernelCore().catch((error: Error) => refuse(`--core: ${error.message}`));
	if (found === undefined && values.core !== undefined) refuse(`--core: there is no file '${values.core}'`);
	const core = found === undefined ? [] : [KERNEL];
	if (core.length === 0) console.error("the kernel's own handler is not measured: npm run build:kernel-core");
	const names = [...designs.map(({ name }) => name), ...core];
	const all = jobs({
		suites: list<SuiteName>("suite", values.suite, SUITES),
		designs: list("design", values.design, names),
		cpus: list<string>("cpu", values.cpu, CPU_NAMES),
		smoke,
	});
	const date = new Date().toISOString();
	const warnings = new Set(machineWarnings());
	const parts = await partsOf(all, processes, smoke);
	progress("");
	if (parts.length < all.length * processes) {
		warnings.add(`interrupted: ${parts.length} of ${all.length * processes} jobs were measured`);
		process.exitCode = 1;
	}
	return collect({ parts, smoke, processes, date, warnings: [...warnings] });
}

/** Every job once, then every job again: a change of the machine's speed affects all of them. Ctrl-C ends it with what there is. */
async function partsOf(all: readonly Job[], processes: number, smoke: boolean): Promise<Part[]> {
	const parts: Part[] = [];
	const stop = new AbortController();
	for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => stop.abort());
	for (let pass = 1; pass <= processes; pass++) {
		for (const [index, job] of all.entries()) {
			progress(`pass ${pass}/${processes}, ${index + 1}/${all.length}: ${job.suite} ${job.design} ${job.cpu}`);
			try {
				// In smoke mode one process is enough for all jobs but one, which tests that a separate process works.
				parts.push(smoke && index > 0 ? await runJob(job) : await inProcess(job));
			} catch (error) {
				// The signal has ended the job's process, too.
				if (!stop.signal.aborted) throw error;
			}
			if (stop.signal.aborted) return parts;
		}
	}
	return parts;
}

async function main(): Promise<void> {
	const values = readArgs();
	if (values.help) {
		console.log(USAGE);
		return;
	}
	if (values.worker !== undefined) {
		process.send!(await runJob(JSON.parse(values.worker) as Job));
		return;
	}
	// The file is read first, so that a wrong name is reported before minutes of measuring.
	const old = values.compare === undefined ? undefined : await readReport(values.compare);
	const report = values.from === undefined ? await measure(values) : await readReport(values.from);
	const changes = old === undefined ? undefined : compare(old, report);
	if (values.html !== undefined) await writeInFolder(values.html, await renderPage(report, changes));
	if (values.json)
		console.log(JSON.stringify(changes === undefined ? report : { ...report, changes }, undefined, "\t"));
	else console.log(renderText(report));
	if (changes !== undefined && !values.json) console.log(renderComparison(changes));
}

hintBranches();
await main();
