import type { Machine } from "../machine/index.js";
import { type ReportFailure, type ReportTest, type ReportViolation, unifiedDiff } from "../report/index.js";
import type { Scenario } from "./scenario.js";
import { findSource } from "./source.js";
import type { FileReader } from "./types.js";

const TEST = /^===== TEST: (.*) =====$/;
/** The lines that check_result() of functions.sh compares. Pids differ from run to run. */
export function filterDmesg(lines: readonly string[]): string[] {
	return lines
		.filter((line) => line.includes("livepatch:") || line.includes("test_klp"))
		.filter((line) => !/(tainting|taints) kernel/.test(line))
		.map((line) => line.replace(/klp_pids=[\d,]+/, "klp_pids=PIDS"));
}

/** A transcript: `===== TEST: title =====` and the lines of each test, by title. */
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

/** One run of a selftest script: writes its lines to the log, and compares what each test printed with the transcript. */
export class Selftest {
	readonly #machine: Machine;
	readonly #transcript: ReadonlyMap<string, readonly string[]>;
	/** Each test with its first line of dmesg. */
	readonly #tests: { readonly title: string; readonly step: number; readonly line: number }[] = [];

	constructor(machine: Machine, transcript: string) {
		this.#machine = machine;
		this.#transcript = parseSelftest(transcript);
	}

	/** Writes a line as functions.sh does; undefined: it writes none. */
	log(line: string | undefined): void {
		if (line !== undefined) this.#machine.shell.write("/dev/kmsg", line);
	}

	begin(title: string, step: number): void {
		this.#tests.push({ title, step, line: this.#machine.dmesg.lines().length });
	}

	/** The tests so far; a test goes from its step to the next `test` step. */
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
