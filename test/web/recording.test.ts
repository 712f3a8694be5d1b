/** What the page's worker records, without a browser. */
import { beforeAll, describe, expect, test } from "vitest";
import { nodeHost } from "../../src/node/index.js";
import { rowsOf } from "../../web/src/page/rows.js";
import { KEY, type RecordedFunction, type Timeline } from "../../web/src/shared/recording.js";
import { type Recorded, recordRun } from "../../web/src/worker/record.js";
import { followed, HYBRID, replayed, scenarioOf, timelineOf } from "./support.js";

const MAIL = "hybrid-lp1-lp2-lp3.rfc-2025.sudden-change";
let mail: Recorded;
let timeline: Timeline;
beforeAll(async () => {
	mail = await replayed(MAIL);
	timeline = timelineOf(mail);
});

describe("the schedule of the mail under the RFC", () => {
	test("ends with the violation, at the instant at which the nop leaves func_stack", () => {
		const { end } = timeline;
		expect(mail.recording.events.at(-1)).toMatchObject({
			who: "kworker",
			label: "klp_unpatch_func: list_del_rcu(nop of funcA)",
			broken: expect.arrayContaining([expect.objectContaining({ invariant: "sudden-change", task: "worker/0" })]),
		});
		expect(timeline.at(KEY.stack("funcA"), end - 1)).toEqual(["nop", "lp1_funcA"]);
		expect(timeline.at(KEY.stack("funcA"), end)).toEqual(["lp1_funcA"]);
		expect(timeline.changes(end).map(({ key }) => key)).toContain(KEY.stack("funcA"));
	});

	test("a violation that lasts is told once", () => {
		const mixed = mail.recording.events.flatMap(({ broken }) => broken.map(({ message }) => message));
		const first = timeline.firstBroken!;
		expect(first).toBeLessThan(timeline.end);
		expect(new Set(mixed).size).toBe(mixed.length);
	});

	test("the call site becomes int3, then a call of the trampoline", () => {
		const { site } = timeline.at(KEY.func("funcA"), 0) as RecordedFunction;
		const values = mail.recording.tracks.get(KEY.text(site))!.values as string[];
		expect(values[0]).toBe("0f1f440000");
		expect(values[1]).toBe("cc1f440000");
		expect(values[2]).toMatch(/^cc.{8}$/);
		expect(values[3]).toMatch(/^e8.{8}$/);
		expect(values[3]!.slice(2)).toBe(values[2]!.slice(2));
	});

	test("a value knows the step with which it came", () => {
		const since = timeline.since(KEY.sysfs("lp3/enabled"), timeline.end)!;
		expect(mail.recording.events[since - 1]).toMatchObject({ who: "shell", title: "insmod lp3" });
		expect(timeline.since(KEY.stack("funcA"), timeline.end)).toBe(timeline.end);
	});

	test("what is local and adjacent is one row, and opens into its steps", () => {
		const rows = rowsOf(timeline, new Set());
		expect(rows.length).toBeLessThan(mail.recording.events.length / 3);
		expect(rows[0]).toMatchObject({ who: "shell", title: "insmod lp1", first: 0 });
		expect(rows.map(({ end }) => end).slice(0, -1)).toEqual(rows.slice(1).map(({ first }) => first));
		const opened = rowsOf(timeline, new Set([0]));
		expect(opened.length).toBe(rows.length + rows[0]!.end - 1);
		const wake = rows.find(({ title }) => title === "wake sleeper");
		expect(wake?.arrows).toEqual([{ to: "sleeper", what: "wakes it" }]);
	});
});

describe("the same schedule under another design", () => {
	test.each(["universe", "mainline"])("%s makes the moves that it has, and comes to the end", async (design) => {
		const other = await followed(MAIL, mail, design);
		const after = timelineOf(other);
		const labels = other.recording.events.filter(({ move }) => move >= 0).map(({ label }) => label);
		expect(labels).toContain("klp_unpatch_func: list_del_rcu(lp2_funcA)");
		expect(labels.includes("klp_unpatch_func: list_del_rcu(nop of funcA)")).toBe(design === "mainline");
		expect(other.recording.events.flatMap(({ broken }) => broken)).toEqual([]);
		const [idle] = after.at(KEY.views, after.end) as string[][];
		expect(idle).toEqual([design === "universe" ? "lp1_funcA" : "original", "lp3_funcB"]);
		expect(after.at(KEY.inTransition, after.end)).toBeUndefined();
	});
});

test("a run is recorded from its first step to its last, with the same verdict", async () => {
	const scenario = scenarioOf(HYBRID);
	const recorded = await recordRun({ scenario, design: "rfc-2025", host: nodeHost(HYBRID) });
	const broken = recorded.recording.events.flatMap((event) => event.broken);
	expect(new Set(broken.map(({ invariant }) => invariant))).toEqual(new Set(["mixed-universe", "sudden-change"]));
	expect(recorded.recording.remarks).toEqual([]);
	const run = timelineOf(recorded);
	expect(run.at(KEY.views, run.end)).toEqual(Array(3).fill(["lp1_funcA", "lp3_funcB"]));
});
