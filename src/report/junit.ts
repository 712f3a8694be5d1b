import { unexpectedProblems } from "./problems.js";
import type { Report } from "./types.js";

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

/** Text for XML 1.0: characters that it cannot hold at all are replaced. */
export function xml(text: string): string {
	const printable = text.replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "\ufffd");
	return printable.replace(/[&<>"]/g, (character) => ENTITIES[character]!);
}

function skippedCase(open: string, reason: string): string {
	return `${open}>\n      <skipped message="${xml(reason)}"/>\n    </testcase>`;
}

/**
 * The report in the XML of JUnit, which continuous integration reads: a test suite, with a test case for each step. If the scenario
 * expects violations and ends as it expects, they are no failures.
 */
export function renderJunit(report: Report): string {
	const cases = report.steps.map((step) => {
		const wrong = unexpectedProblems(report, step.index);
		const name = `${step.index} ${step.action}`;
		const open = `    <testcase classname="${xml(report.scenario)}" name="${xml(name)}"`;
		if (wrong.length === 0) {
			const text = step.skipped === undefined ? `${open}/>` : skippedCase(open, step.skipped);
			return { failed: false, text };
		}
		const failure = `      <failure message="${xml(wrong[0]!)}">${xml(wrong.join("\n"))}</failure>`;
		return { failed: true, text: `${open}>\n${failure}\n    </testcase>` };
	});
	for (let i = 1; i <= (report.notRun ?? 0); i++) {
		const open = `    <testcase classname="${xml(report.scenario)}" name="${report.steps.length + i}"`;
		cases.push({ failed: false, text: skippedCase(open, "a step before it failed") });
	}
	const skipped = cases.filter(({ text }) => text.includes("<skipped ")).length;
	let failed = cases.filter((one) => one.failed).length;
	const texts = cases.map(({ text }) => text);
	if (!report.asExpected && failed === 0) {
		const message = `the verdict is ${report.verdict}, which the scenario does not expect`;
		texts.push(
			`    <testcase classname="${xml(report.scenario)}" name="verdict">\n      <failure message="${message}"/>\n    </testcase>`,
		);
		failed = 1;
	}
	const core = report.core === undefined ? "" : `, Linux ${report.core}`;
	const counts = `tests="${texts.length}" failures="${failed}"${skipped > 0 ? ` skipped="${skipped}"` : ""}`;
	return [
		'<?xml version="1.0" encoding="UTF-8"?>',
		`<testsuites ${counts}>`,
		`  <testsuite name="${xml(`${report.scenario} (${report.design}${core})`)}" ${counts}>`,
		...texts,
		"  </testsuite>",
		"</testsuites>",
		"",
	].join("\n");
}
