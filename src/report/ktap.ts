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
	const within = ({ step }: { readonly step: number }) => step >= test.step && step < end;
	const lines = [
		...report.failures.filter(within).map(({ where, message }) => `${where}: ${message}`),
		...report.violations.filter(within).map(({ invariant, message }) => `${invariant}: ${message}`),
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

/** The results of selftest scripts as KTAP (Documentation/dev-tools/ktap.rst), one level of subtests. `notes`: comments. */
export function renderKtap(suites: readonly KtapSuite[], notes: readonly string[]): string {
	const lines = ["KTAP version 1", `1..${suites.length}`];
	for (const [index, suite] of suites.entries()) {
		for (const line of suiteLines(suite)) lines.push(`    ${line}`);
		const ok = suite.tests.every((test) => test.ok);
		lines.push(`${ok ? "ok" : "not ok"} ${index + 1} ${suite.name}`);
	}
	const tests = suites.flatMap((suite) => suite.tests);
	const passed = tests.filter(({ ok }) => ok).length;
	lines.push(...notes.map((note) => `# ${note}`), `# Totals: pass:${passed} fail:${tests.length - passed}`);
	return `${lines.join("\n")}\n`;
}
