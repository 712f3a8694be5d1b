import { type Case, differences, type Outcome } from "./case.js";
import { EXCEPTIONS } from "./exceptions.js";
import { normal } from "./models.js";

/** Rows whose cases differ other than processors do, with the first difference of each; and the exceptions that were needed. */
export function compare(
	cpu: string,
	cases: readonly Case[],
	ours: readonly Outcome[],
	reference: readonly Outcome[],
): { failures: string[]; needed: Set<string> } {
	const failures = new Map<string, string>();
	const needed = new Set<string>();
	for (const [index, one] of cases.entries()) {
		const lines = differences(one, normal(one, ours[index]!), normal(one, reference[index]!));
		if (lines.length === 0) continue;
		const exception = EXCEPTIONS.find(
			(candidate) =>
				candidate.cpu === cpu &&
				one.rows.some((row) => candidate.row.test(row)) &&
				lines.every((line) => candidate.difference.test(line)),
		);
		const key = one.rows.join(", ");
		if (exception !== undefined) needed.add(exception.reason);
		else if (!failures.has(key)) failures.set(key, `${key}: ${one.name}\n    ${lines.join("\n    ")}`);
	}
	return { failures: [...failures.values()], needed };
}
