import { ERRNO } from "../linux/lib/index.js";
import type { Machine } from "../machine/index.js";
import { type ReportFailure, type ReportTest, type ReportViolation, unifiedDiff } from "../report/index.js";
import { findSource } from "./source.js";
import type { FileReader, Scenario, Step } from "./types.js";

/** What glibc and kmod print for the errnos that livepatch and the module loader return. */
const STRERROR: Readonly<Record<number, string>> = {
	[ERRNO.EPERM]: "Operation not permitted",
	[ERRNO.ENOENT]: "No such file or directory",
	[ERRNO.EAGAIN]: "Resource temporarily unavailable",
	[ERRNO.ENOMEM]: "Cannot allocate memory",
	[ERRNO.EACCES]: "Permission denied",
	[ERRNO.EBUSY]: "Device or resource busy",
	[ERRNO.EEXIST]: "File exists",
	[ERRNO.ENODEV]: "No such device",
	[ERRNO.EINVAL]: "Invalid argument",
};
const INSMOD_STRERROR: Readonly<Record<number, string>> = {
	[ERRNO.ENOENT]: "Unknown symbol in module",
	[ERRNO.EINVAL]: "Invalid parameters",
};

const TEST = /^===== TEST: (.*) =====$/;
/** Written by the scripts without saying so. */
const SILENT = /^\/dev\/kmsg$|^\/sys\/kernel\/debug\//;

function strerror(errno: number): string {
	return STRERROR[-errno] ?? `Unknown error ${-errno}`;
}

/** The lines that check_result() of functions.sh looks at. Pids differ from run to run. */
export function filterDmesg(lines: readonly string[]): string[] {
	return lines
		.filter((line) => line.includes("livepatch:") || line.includes("test_klp"))
		.filter((line) => !/(tainting|taints) kernel/.test(line))
		.map((line) => line.replace(/klp_pids=[\d,]+/, "klp_pids=PIDS"));
}

/** A transcript, `===== TEST: title =====` and the lines of each test: by title. */
function parseSelftest(text: string): Map<string, string[]> {
	const tests = new Map<string, string[]>();
	let current: string[] = [];
	for (const line of text.split("\n")) {
		const title = TEST.exec(line)?.[1];
		if (title !== undefined) {
			current = [];
			tests.set(title, current);
		} else if (line !== "") current.push(line);
	}
	return tests;
}

/** What functions.sh logs before it does a step; undefined: nothing. `params`: of an insmod, as the command line has them. */
function logBefore(step: Step, params: readonly string[]): string | undefined {
	switch (step.kind) {
		case "insmod":
			return [`% insmod test_modules/${step.module}.ko`, ...params].join(" ");
		case "rmmod":
			return `% rmmod ${step.module}`;
		case "disable":
			return `% echo 0 > /sys/kernel/livepatch/${step.livepatch}/enabled`;
		case "echo":
			return SILENT.test(step.path) ? undefined : `% echo ${step.value} > ${step.path}`;
		case "test":
			return `===== TEST: ${step.title} =====`;
		default:
			return undefined;
	}
}

/** What functions.sh logs once a step is done: errors of insmod, and what came of a sysctl. */
function logAfter(step: Step, errno: number): string | undefined {
	if (step.kind === "insmod" && errno !== 0) {
		const why = INSMOD_STRERROR[-errno] ?? strerror(errno);
		return `insmod: ERROR: could not insert module test_modules/${step.module}.ko: ${why}`;
	}
	if (step.kind === "sysctl") {
		if (errno === 0) return `livepatch: ${step.name} = ${step.value}`;
		return `livepatch: sysctl: setting key "${step.name}": ${strerror(errno)}`;
	}
	return undefined;
}

/** One run of a selftest script: writes its lines to the log, and compares what each test printed with the transcript. */
export class Selftest {
	readonly #machine: Machine;
	readonly #transcript: ReadonlyMap<string, readonly string[]>;
	/** Each test with the first line of dmesg that is its own. */
	readonly #tests: { readonly title: string; readonly step: number; readonly line: number }[] = [];

	constructor(machine: Machine, transcript: string) {
		this.#machine = machine;
		this.#transcript = parseSelftest(transcript);
	}

	#log(line: string | undefined): void {
		if (line !== undefined) this.#machine.write("/dev/kmsg", line);
	}

	before(step: Step, params: ReadonlyMap<string, string>): void {
		this.#log(
			logBefore(
				step,
				[...params].map(([name, value]) => `${name}=${value}`),
			),
		);
	}

	after(step: Step, errno: number): void {
		this.#log(logAfter(step, errno));
	}

	begin(title: string, step: number): void {
		this.#tests.push({ title, step, line: this.#machine.dmesg.records.length });
	}

	/** The tests so far; a test reaches from its step to the next one. */
	results(failures: readonly ReportFailure[], violations: readonly ReportViolation[]): ReportTest[] {
		const lines = this.#machine.dmesg.lines();
		return this.#tests.map(({ title, step, line }, index) => {
			const next = this.#tests[index + 1];
			const expected = this.#transcript.get(title) ?? [];
			const result = filterDmesg(lines.slice(line, next?.line));
			const diff = unifiedDiff(filterDmesg(expected), result, { a: "expected", b: "result" }) ?? null;
			const within = (other: { readonly step: number }) => other.step >= step && other.step < (next?.step ?? Infinity);
			const ok = diff === null && expected.length > 0 && !failures.some(within) && !violations.some(within);
			return { title, step, ok, diff };
		});
	}
}

/** For a scenario that has a transcript. Throws `SCENARIO_MISSING_FILE`. */
export async function loadSelftest(
	{ selftest, ...scenario }: Scenario,
	files: FileReader,
	machine: Machine,
): Promise<Selftest | undefined> {
	if (selftest === undefined) return undefined;
	const path = await findSource({ ...scenario, selftest }, files, selftest);
	return new Selftest(machine, new TextDecoder().decode(await files.read(path)));
}
