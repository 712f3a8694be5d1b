/** Scenarios of scenarios/ that a real kernel has made (klpemu kit, klpemu vm): the emulated kernel agrees. docs/differences.md has the rest. */
import { describe, expect, test } from "vitest";
import {
	compareRecorded,
	reasonFor,
	recordedScenarios,
	textsOf,
	unusedReasons,
	withoutStatus,
} from "../../tools/differences.js";
import { LONG, sample } from "../support/sample.js";
import { compact, expanded } from "./compact.js";

test("compact() leaves out what is said twice, and expanded() says it again", () => {
	const text = [
		"[    1.0] ### BEGIN x",
		"[    1.0] noise",
		"[    1.0] ### --- STATE: one",
		"[    1.0] ###     task A",
		"[    1.0] ###     task B",
		"[    1.0] ###     ftrace f [m] (1)   I     M \ttramp: 0x1",
		"[    1.0] ### === step 2",
		"[    1.0] livepatch: 'x': y",
		"[    1.0] ### --- STATE: two",
		"[    1.0] ###     task A",
		"[    1.0] ###     task C",
		"[    1.0] ###     ftrace f [m] (1)   I     M \ttramp: 0x2",
		"[    1.0] ### END",
		"[    1.0] ### LEFT",
	].join("\n");
	const short = compact(text, ["livepatch: "]);
	expect(short.split("\n")).toEqual([
		"### BEGIN x",
		"### --- STATE: one",
		"###     task A",
		"###     task B",
		"###     ftrace f [m] (1)   I     M",
		"### === step 2",
		"livepatch: 'x': y",
		"### --- STATE: two",
		"~1",
		"###     task C",
		"~1",
		"### END",
	]);
	expect(
		expanded(short)
			.split("\n")
			.filter((line) => line.includes("ftrace")).length,
	).toBe(2);
	expect(compact(expanded(short), ["livepatch: "])).toBe(short);
});

test("every scenario has a record, or a reason why it has none", () => {
	expect(withoutStatus()).toEqual([]);
});

describe("made by a real kernel", () => {
	const found = new Map<string, readonly string[]>();

	test.each(sample(recordedScenarios(), 8))("%s agrees, but for what docs/differences.md explains", async (name) => {
		const compared = await compareRecorded(name);
		const texts = textsOf(compared);
		found.set(name, texts);
		expect(texts.filter((text) => reasonFor(name, text) === undefined)).toEqual([]);
		expect(compared.facts).toBeGreaterThan(10);
	});

	// Known once all of them have been made.
	if (LONG) {
		test("each reason explains something", () => {
			expect(unusedReasons(found)).toEqual([]);
			expect(found.size).toBeGreaterThan(15);
		});
	}
});
