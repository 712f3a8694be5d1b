import { afterAll, describe, expect, test } from "vitest";
import { CPU_NAMES } from "../../src/cpu/create.js";
import { type Case, differences } from "./case.js";
import { EXCEPTIONS } from "./exceptions.js";
import { casesOf, rowName, TABLE } from "./generate.js";
import { Random } from "./random.js";
import { cpuRunner, hardwareRunner } from "./runners.js";

const hardware = hardwareRunner();
const cases = TABLE.flatMap((row, index) => casesOf(row, new Random(index + 1)));

/** Rows whose cases differ, with the first difference of each. */
function compare(
	name: string,
	given: readonly Case[],
	ours: Awaited<ReturnType<NonNullable<typeof hardware>["run"]>>,
	reference: typeof ours,
): string[] {
	const failures = new Map<string, string>();
	const needed = new Set<unknown>();
	for (const [index, one] of given.entries()) {
		const lines = differences(one, ours[index]!, reference[index]!);
		if (lines.length === 0) continue;
		const exception = EXCEPTIONS.find(
			({ cpu, row, difference }) =>
				cpu === name && one.rows.some((r) => row.test(r)) && lines.every((line) => difference.test(line)),
		);
		if (exception !== undefined) needed.add(exception);
		else if (!failures.has(one.rows[0]!))
			failures.set(one.rows[0]!, `${one.rows[0]}: ${one.name}\n    ${lines.join("\n    ")}`);
	}
	for (const exception of EXCEPTIONS) {
		if (exception.cpu === name && !needed.has(exception))
			failures.set(exception.reason, `no longer needed: ${exception.reason}`);
	}
	return [...failures.values()];
}

describe.skipIf(hardware === undefined)("every form of every opcode, against the hardware", () => {
	const given = cases.filter(({ notOnHardware }) => !notOnHardware);
	test.each(CPU_NAMES)("%s", async (name) => {
		const runner = await cpuRunner(name);
		const failures = compare(name, given, await runner.run(given), await hardware!.run(given));
		runner.close();
		expect(failures.join("\n")).toBe("");
	});
});

test("the cases cover the table", () => {
	const covered = new Set(cases.flatMap(({ rows }) => rows));
	expect(TABLE.map(rowName).filter((name) => !covered.has(name))).toEqual([]);
	// Each is what it was meant to be: the decoder finds an instruction.
	expect(cases.filter(({ name }) => name.includes("not decoded")).map(({ rows, name }) => `${rows} ${name}`)).toEqual(
		[],
	);
});
afterAll(() => undefined);
