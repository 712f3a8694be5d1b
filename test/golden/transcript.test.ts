/** What was recorded on a real kernel, and what scenarios expect. test/node/compare/compare.test.ts compares it with the emulated kernel. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { emulatedResults, recordedResults } from "../../src/node/compare/commands.js";
import { parseTranscript } from "../../src/node/compare/index.js";
import { parseScenario } from "../../src/scenario/index.js";
import { recording, SELFTESTS, selftestTranscript } from "./load.js";

test.each(["mainline-order", "rfc-petr"])("%s expects the recorded result of each command", (name) => {
	const file = `scenarios/${name}.yaml`;
	const { steps, livepatches } = parseScenario(readFileSync(file, "utf8"), file);
	const expected = emulatedResults(
		steps.map((step) => ({ step, errno: step.errno })),
		new Set(),
	);
	const recorded = recordedResults(parseTranscript(recording(name)), new Set(livepatches.keys()));
	expect(expected).toEqual(recorded);
	expect(recorded.filter((text) => !text.endsWith(" 0")).length).toBeGreaterThan(0);
});

test.each(SELFTESTS)("selftest %s: the expected dmesg is what was recorded", (name) => {
	const expected = readFileSync(`scenarios/selftests/test-${name}.dmesg`, "utf8");
	expect(expected).toBe(selftestTranscript(recording(`selftest-${name}`)));
});
