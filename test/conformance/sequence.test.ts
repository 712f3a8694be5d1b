import { describe, expect, test } from "vitest";
import { compare } from "./compare.js";
import { EXCEPTIONS } from "./exceptions.js";
import { onProcessor, processorFlags } from "./models.js";
import { Random } from "./random.js";
import { cpuRunner, hardwareRunner, RUNNERS } from "./runners.js";
import { sequence } from "./sequence.js";
import { splitsLock } from "./split-lock.js";

const hardware = hardwareRunner();
const COUNT = Number(process.env.KLPEMU_SEQUENCES ?? 400);

describe.skipIf(hardware === undefined)("random instruction sequences, against the hardware", () => {
	const random = new Random(7);
	const cases = Array.from({ length: COUNT }, () => sequence(random, 2 + random.below(20)));
	const possible = cases.filter(onProcessor(processorFlags()));

	test("no locked access crosses cache lines", async () => {
		const split: string[] = [];
		let steps = 0;
		const runner = await cpuRunner("jit", 1, (given, state) => {
			steps++;
			if (splitsLock(given, state)) split.push(given.name);
		});
		await runner.run(cases);
		runner.close();
		expect(steps).toBeGreaterThan(5 * COUNT);
		expect(split).toEqual([]);
	});

	test.each(RUNNERS)("%s", async (name) => {
		// Where a Cpu is known to differ in one instruction, whatever follows differs too.
		const known = EXCEPTIONS.filter(({ cpu }) => cpu === name);
		const given = possible.filter(
			({ rows }) => !rows.some((row) => known.some((exception) => exception.row.test(row))),
		);
		expect(given.length).toBeGreaterThan(COUNT / 5);
		const runner = await cpuRunner(name);
		const { failures } = compare(name, given, await runner.run(given), await hardware!.run(given));
		runner.close();
		expect(failures.slice(0, 5).join("\n")).toBe("");
	});
});
