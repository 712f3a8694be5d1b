import { describe, expect, test } from "vitest";
import { CPU_NAMES } from "../../src/node/index.js";
import { compare } from "./compare.js";
import { EXCEPTIONS } from "./exceptions.js";
import { casesOf, rowName, TABLE } from "./generate.js";
import { Random } from "./random.js";
import { cpuRunner, hardwareRunner } from "./runners.js";

const hardware = hardwareRunner();
const cases = TABLE.flatMap((row, index) => casesOf(row, new Random(index + 1)));

describe.skipIf(hardware === undefined)("every form of every opcode, against the hardware", () => {
	const given = cases.filter(({ notOnHardware }) => !notOnHardware);
	test.each(CPU_NAMES)("%s", async (name) => {
		const runner = await cpuRunner(name);
		const { failures, needed } = compare(name, given, await runner.run(given), await hardware!.run(given));
		runner.close();
		expect(failures.join("\n")).toBe("");
		expect(
			EXCEPTIONS.filter(
				({ cpu, reason, build }) => cpu === name && (build?.test(runner.description) ?? true) && !needed.has(reason),
			),
		).toEqual([]);
	});
});

test("what a user program may not do is the same on all Cpus", async () => {
	const given = cases.filter(({ rows }) => /cli|sti/.test(rows[0]!));
	const outcomes = await Promise.all(
		CPU_NAMES.map(async (name) => {
			const runner = await cpuRunner(name);
			const results = await runner.run(given);
			runner.close();
			return results;
		}),
	);
	expect(given.length).toBeGreaterThan(0);
	for (const outcome of outcomes) expect(outcome).toEqual(outcomes[0]);
});

test("the cases cover the table", () => {
	const covered = new Set(cases.flatMap(({ rows }) => rows));
	expect(TABLE.map(rowName).filter((name) => !covered.has(name))).toEqual([]);
	// Each is what it was meant to be: the decoder finds an instruction.
	expect(cases.filter(({ name }) => name.includes("not decoded")).map(({ rows, name }) => `${rows} ${name}`)).toEqual(
		[],
	);
});
