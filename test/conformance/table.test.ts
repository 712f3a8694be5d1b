import { beforeAll, describe, expect, test } from "vitest";
import { LONG, sample } from "../support/sample.js";
import type { Outcome } from "./case.js";
import { compare } from "./compare.js";
import { EXCEPTIONS } from "./exceptions.js";
import { casesOf, rowName, TABLE } from "./generate.js";
import { KINDS } from "./kinds.js";
import { onProcessor, processorFlags } from "./models.js";
import { Random } from "./random.js";
import { cpuRunner, hardwareRunner, RUNNERS } from "./runners.js";
import { splitsLock } from "./split-lock.js";

const hardware = hardwareRunner();
const byRow = TABLE.map((row, index) => casesOf(row, new Random(index + 1)));
const cases = byRow.flat();

describe.skipIf(hardware === undefined)("every form of every opcode, against the hardware", () => {
	const given = byRow.flatMap((forms) => sample(forms, 8)).filter(onProcessor(processorFlags()));
	let reference: readonly Outcome[];
	beforeAll(async () => {
		reference = await hardware!.run(given);
	});
	test.each(RUNNERS)("%s", async (name) => {
		const runner = await cpuRunner(name);
		const { failures, needed } = compare(name, given, await runner.run(given), reference);
		runner.close();
		expect(failures.join("\n")).toBe("");
		// A sample of the forms need not have what an exception is for.
		if (!LONG) return;
		expect(
			EXCEPTIONS.filter(
				({ cpu, row, reason, build }) =>
					cpu === name &&
					(build?.test(runner.description) ?? true) &&
					given.some(({ rows }) => row.test(rows[0]!)) &&
					!needed.has(reason),
			),
		).toEqual([]);
	});
});

describe.skipIf(hardware === undefined)("kinds of faults, flags and encodings, against the hardware", () => {
	test.each(RUNNERS)("%s", async (name) => {
		const runner = await cpuRunner(name);
		const { failures } = compare(name, KINDS, await runner.run(KINDS), await hardware!.run(KINDS));
		runner.close();
		expect(failures.join("\n")).toBe("");
	});
});

test("what a user program may not do, or a host punishes, is the same on all Cpus", async () => {
	const given = cases.filter(({ notOnHardware, rows }) => notOnHardware && !/ (cpuid|rdtscp?)$/.test(rows[0]!));
	for (const kind of [/ cli$/, / sti$/, / xchg$/, / cmpxchg$/]) {
		expect(given.filter(({ rows }) => kind.test(rows[0]!)).length).toBeGreaterThan(0);
	}
	const outcomes = new Map<string, readonly Outcome[]>();
	for (const name of RUNNERS) {
		const runner = await cpuRunner(name);
		outcomes.set(name, await runner.run(given));
		runner.close();
	}
	for (const name of ["jit", "interpreter"]) {
		const { failures } = compare("unicorn", given, outcomes.get("unicorn")!, outcomes.get(name)!);
		expect(failures.join("\n")).toBe("");
	}
});

test("no case that the hardware runs has a locked access across cache lines", () => {
	const split = cases.filter((given) => splitsLock(given));
	expect(split.length).toBeGreaterThan(50);
	expect(split.filter(({ notOnHardware }) => !notOnHardware).map(({ name }) => name)).toEqual([]);
});

test("the cases cover the table", () => {
	const covered = new Set(cases.flatMap(({ rows }) => rows));
	expect(TABLE.map(rowName).filter((name) => !covered.has(name))).toEqual([]);
	// Each is what it was meant to be: the decoder finds an instruction.
	expect(cases.filter(({ name }) => name.includes("not decoded")).map(({ rows, name }) => `${rows} ${name}`)).toEqual(
		[],
	);
});
