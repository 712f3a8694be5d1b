/** npm run against-kernel: the random scenarios. What a kernel makes of them is no test: docs/differences.md has the results. */
import { expect, test } from "vitest";
import { nodeHost } from "../../src/node/index.js";
import { parseScenario, runScenario } from "../../src/scenario/index.js";
import { FILE, randomUnits, scenarioText } from "../../tools/against-kernel/random-steps.js";
import { sample } from "../support/sample.js";

test("the same seed gives the same steps, another one others", async () => {
	const [first, again, other] = [await randomUnits(3n, 5), await randomUnits(3n, 5), await randomUnits(4n, 5)];
	expect(again).toEqual(first);
	expect(other).not.toEqual(first);
});

test.each(sample([1n, 2n, 5n, 6n], 4))("seed %s: no step is impossible, and the last transition ends", async (seed) => {
	const scenario = parseScenario(scenarioText(await randomUnits(seed, 10), "random"), FILE);
	const report = await runScenario(scenario, { host: nodeHost(FILE), stopAtFailure: false });
	// Steps may be refused by the kernel; those that wait come to their end.
	const endless = report.failures.filter(({ message }) => !message.startsWith("the result is"));
	expect(endless).toEqual([]);
	expect(
		Object.entries(report.steps.at(-1)!.sysfs).filter(([path, value]) => path.endsWith("/transition") && value === 1),
	).toEqual([]);
});
