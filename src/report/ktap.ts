import { problems, unexpectedProblems } from "./problems.js";
import type { Report, ReportTest } from "./types.js";

/** One script of tests, run. */
export interface KtapSuite {
	readonly name: string;
	readonly report: Report;
	/** The selected tests of the report. */
	readonly tests: readonly ReportTest[];
}

/** `#` lines: why a test failed. */
function diagnostics(test: ReportTest, report: Report, end: number): string[] {
	const lines = [
		...problems(report, (step) => step >= test.step && step < end),
		...(test.diff === null ? [] : test.diff.split("\n")),
	];
	return lines.map((line) => `# ${line}`);
}

function suiteLines({ report, tests }: KtapSuite): string[] {
	const lines = ["KTAP version 1", `1..${tests.length}`];
	for (const [index, test] of tests.entries()) {
		const next = report.tests!.find(({ step }) => step > test.step);
		for (const line of diagnostics(test, report, next?.step ?? Number.POSITIVE_INFINITY)) lines.push(line);
		lines.push(`${test.ok ? "ok" : "not ok"} ${index + 1} ${test.title}`);
	}
	return lines;
}

/** The results of selftest scripts as KTAP (Documentation/dev-tools/ktap.rst), one level of subtests, script by script. */
export class Ktap {
	#scripts = 0;
	#passed = 0;
	#failed = 0;

	/** The first lines. `scripts`: as many will follow. */
	head(scripts: number): string {
		return `KTAP version 1\n1..${scripts}\n`;
	}

	/** The next script. */
	suite(suite: KtapSuite): string {
		const lines = suiteLines(suite).map((line) => `    ${line}`);
		const failed = suite.tests.filter((test) => !test.ok).length;
		this.#failed += failed;
		this.#passed += suite.tests.length - failed;
		return `${[...lines, `${failed === 0 ? "ok" : "not ok"} ${++this.#scripts} ${suite.name}`].join("\n")}\n`;
	}

	/** The last lines. `notes`: comments. */
	end(notes: readonly string[]): string {
		const totals = `# Totals: pass:${this.#passed} fail:${this.#failed}`;
		return `${[...notes.map((note) => `# ${note}`), totals].join("\n")}\n`;
	}

	get allOk(): boolean {
		return this.#failed === 0;
	}
}

/** The steps of one run as KTAP: a step is `ok` if it ends as the scenario says, and breaks nothing that the scenario does not expect. */
export function renderStepsKtap(report: Report): string {
	const notRun = report.notRun ?? 0;
	const count = report.steps.length + notRun + 1;
	const lines = ["KTAP version 1", `1..${count}`];
	let passed = 0;
	let skips = notRun;
	for (const { index, action, skipped } of report.steps) {
		const wrong = unexpectedProblems(report, index);
		const ok = wrong.length === 0;
		const isSkip = ok && skipped !== undefined;
		if (isSkip) skips++;
		else if (ok) passed++;
		lines.push(...wrong.map((problem) => `# ${problem}`));
		const text = `${ok ? "ok" : "not ok"} ${index} ${action.replaceAll("#", "\\#")}`;
		lines.push(isSkip ? `${text} # SKIP ${skipped}` : text);
	}
	for (let i = 1; i <= notRun; i++) lines.push(`ok ${report.steps.length + i} # SKIP a step before it failed`);
	// The steps alone do not say it: each may end as it should, and the verdict be another one.
	if (report.asExpected) passed++;
	const expected = report.asExpected ? "as the scenario expects" : "not as the scenario expects";
	lines.push(`${report.asExpected ? "ok" : "not ok"} ${count} ${report.verdict}, ${expected}`);
	if (report.core !== undefined) lines.push(`# the kernel's own C, Linux ${report.core}`);
	const totals = `# Totals: pass:${passed} fail:${count - passed - skips} skip:${skips}`;
	return `${lines.join("\n")}\n${totals}\n`;
}
