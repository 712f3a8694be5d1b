import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { recording, SELFTESTS, selftestTranscript } from "./load.js";

// test/node/compare/compare.test.ts compares the other transcripts with what the emulated kernel does.
test.each(SELFTESTS)("selftest %s: the expected dmesg is what was recorded", (name) => {
	const expected = readFileSync(`scenarios/selftests/test-${name}.dmesg`, "utf8");
	expect(expected).toBe(selftestTranscript(recording(`selftest-${name}`)));
});
