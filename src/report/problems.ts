import type { Report } from "./types.js";

/** The expectations that do not hold and the broken invariants of some steps, one line each. `within`: is it one of these steps? */
export function problems(report: Report, within: (step: number) => boolean): string[] {
	const isOfThem = ({ step }: { readonly step: number }) => within(step);
	return [
		...report.failures.filter(isOfThem).map(({ where, message }) => `${where}: ${message}`),
		...report.violations.filter(isOfThem).map(({ invariant, message }) => `${invariant}: ${message}`),
	];
}

/** The problems of one step that the scenario does not expect. */
export function unexpectedProblems(report: Report, index: number): string[] {
	return report.asExpected ? [] : problems(report, (step) => step === index);
}
