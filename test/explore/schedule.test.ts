import { describe, expect, test } from "vitest";
import { formatSchedule, parseSchedule, type Schedule } from "../../src/explore/index.js";

const schedule: Schedule = {
	scenario: "x.yaml",
	fingerprint: "0123",
	design: "mainline",
	invariant: "stuck",
	message: "nothing ends it",
	moves: [
		{ who: "insmod lp1", steps: 3, busy: [{ step: 1, task: "worker" }], late: false, label: "klp_enable_patch" },
		{ who: "worker", steps: 1, busy: [], late: false, label: "calls funcA" },
		{ who: "kworker", steps: 2, busy: [], late: true, label: "klp_try_complete_transition" },
	].map((move) => ({ ...move, who: move.who.replace(" ", ":") })),
};

describe("a saved schedule", () => {
	const text = formatSchedule(schedule);
	const lines = text.trimEnd().split("\n");

	test("is read as it was written", () => {
		expect(parseSchedule(text, "x.schedule")).toEqual(schedule);
	});

	test("of another version is refused, with the line that one of this version begins with", () => {
		const other = text.replace("schedule 1", "schedule 2");
		expect(() => parseSchedule(other, "x.schedule")).toThrow(
			expect.objectContaining({ where: "x.schedule:1", hint: "the first line must be 'klpemu schedule 1'" }),
		);
	});

	test.each(lines.slice(1).map((_, index) => index + 1))("is refused if it is cut before line %i + 1", (kept) => {
		const cut = `${lines.slice(0, kept).join("\n")}\n`;
		expect(() => parseSchedule(cut, "x.schedule")).toThrow(/missing|the schedule has \d moves, not 3/);
		// Where: the last line that is there.
		expect(() => parseSchedule(cut, "x.schedule")).toThrow(expect.objectContaining({ where: `x.schedule:${kept}` }));
	});

	test("of livepatches in C has the points and the functions that only their code names", () => {
		const more = { ...schedule, points: ["000100f8", "schedule_work"], watched: ["vmlinux:funcA#2", "klp_target:f"] };
		expect(parseSchedule(formatSchedule(more), "x.schedule")).toEqual(more);
	});

	test("of a kernel core has its release and its hash", () => {
		const more = { ...schedule, core: "6.12.1", coreHash: "1.2.3.4" };
		expect(parseSchedule(formatSchedule(more), "x.schedule")).toEqual(more);
	});

	test.each(["funcA", "vmlinux:", ":funcA", "vmlinux:f#0", "a:b:c"])(
		"refuses '%s' as a function of an object",
		(place) => {
			const bad = formatSchedule({ ...schedule, watched: ["vmlinux:f", place] });
			expect(() => parseSchedule(bad, "x.schedule")).toThrow(`watched: '${place}' is no 'object:function'`);
		},
	);

	test("of an older klpemu, which did not say its length, is read", () => {
		const older = text.replace(/^length: .*\n/m, "");
		expect(older).not.toBe(text);
		expect(parseSchedule(older, "x.schedule")).toEqual(schedule);
	});
});
