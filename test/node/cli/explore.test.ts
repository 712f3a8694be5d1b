/** klpemu explore, replay and merge, as people call them. */
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { expect, test } from "vitest";
import type { ExploreReport } from "../../../src/node/cli/explore-report.js";
import { runCli } from "../../../src/node/cli/index.js";

const folder = mkdtempSync(join(tmpdir(), "klpemu-explore-"));

/** lp1 stays, lp3 replaces lp2: too little for the mail's violation, enough for the RFC's nop. */
const SCENARIO = join(folder, "small.yaml");
writeFileSync(
	SCENARIO,
	`title: Small
design: rfc-2025
vmlinux: [asm/vmlinux/funcs.c]
livepatches:
  lp1: { sources: [asm/livepatches/lp1.c], replaceable: false, funcs: { funcA: lp1_funcA } }
  lp2: { sources: [asm/livepatches/lp2.c], replaceable: true, funcs: { funcA: lp2_funcA } }
  lp3: { sources: [asm/livepatches/lp3.c], replace: true, funcs: { funcB: lp3_funcB } }
tasks: { worker: { calls: [funcA] } }
steps: [{ insmod: lp1 }, settle, { insmod: lp2 }, settle, { insmod: lp3 }, settle]
`,
);

async function cli(...argv: string[]) {
	const printed = { stdout: "", stderr: "" };
	const output = (name: keyof typeof printed) => ({
		write: (text: string) => {
			printed[name] += text;
		},
	});
	const io = { stdin: Readable.from([]), stdout: output("stdout"), stderr: output("stderr"), env: {} };
	return { status: await runCli(argv, io), ...printed };
}

test("explore: a table, a schedule that is saved, and its replay with a story", async () => {
	const { status, stdout } = await cli("explore", SCENARIO, "--save", folder);
	expect(status).toBe(1);
	expect(stdout).toMatch(
		/^Small · preemption none\n\ndesign +verdict +invariant +schedule +states +transitions +depth +seconds\n/,
	);
	expect(stdout).toMatch(/\nrfc-2025 +violated +mixed-universe +\d+ moves +\d+ /);
	const file = join(folder, "small.rfc-2025.mixed-universe.schedule");
	expect(readFileSync(file, "utf8")).toMatch(/^klpemu schedule 1\nscenario: .*\nfingerprint: .*\ndesign: rfc-2025\n/);
	const replay = await cli("replay", file);
	expect(replay).toMatchObject({ status: 0, stderr: "" });
	expect(replay.stdout).toMatch(/^rfc-2025: \d+ moves: mixed-universe: worker runs \(original, lp3_funcB\)/);
	const story = await cli("replay", file, "--story", "--cpu", "unicorn");
	expect(story.stdout).toMatch(/^ {2}1\. shell: insmod lp1\n {7}func_stack of funcA: \[lp1_funcA\]\n/);
	expect(story.stdout).toContain("mixed-universe: worker runs");
	const json = JSON.parse((await cli("replay", file, "--json")).stdout);
	expect(json).toMatchObject({ schema: 1, design: "rfc-2025", invariant: "mixed-universe" });

	writeFileSync(SCENARIO, `${readFileSync(SCENARIO, "utf8")}# changed\n`);
	const stale = await cli("replay", file);
	expect(stale.status).toBe(2);
	expect(stale.stderr).toContain("is not what it was when the schedule was made");
	writeFileSync(SCENARIO, readFileSync(SCENARIO, "utf8").replace("# changed\n", ""));
}, 60_000);

test("explore --json, every invariant", async () => {
	const { stdout } = await cli("explore", SCENARIO, "--json", "--every-invariant");
	const report = JSON.parse(stdout) as ExploreReport;
	expect(report).toMatchObject({ schema: 1, scenario: "Small" });
	const found = report.results.map(({ invariant }) => invariant);
	expect(found).toEqual(expect.arrayContaining(["mixed-universe", "sudden-change", "use-after-free"]));
	for (const row of report.results) {
		expect(Object.keys(row)).toEqual(
			expect.arrayContaining([
				"design",
				"result",
				"invariant",
				"scheduleLength",
				"states",
				"transitions",
				"depth",
				"seconds",
			]),
		);
		expect(row.schedule).toContain(`invariant: ${row.invariant}`);
	}
}, 60_000);

interface Damaged {
	shard?: string;
	readonly results: Record<string, unknown>[];
}

test("explore --shard and merge: as one process, state by state", async () => {
	const whole = JSON.parse((await cli("explore", SCENARIO, "--json", "--design", "universe")).stdout) as ExploreReport;
	const files: string[] = [];
	for (const part of ["1/2", "2/2"]) {
		const { stdout } = await cli("explore", SCENARIO, "--json", "--design", "universe", "--shard", part);
		files.push(join(folder, `${part.replace("/", "-")}.json`));
		writeFileSync(files.at(-1)!, stdout);
	}
	const merged = await cli("merge", files.join(","), "--json");
	expect(merged.status).toBe(0);
	const [row] = (JSON.parse(merged.stdout) as ExploreReport).results;
	const { states, transitions, depth } = whole.results[0]!;
	expect(row).toMatchObject({ design: "universe", result: "complete", states, transitions });
	// A part may have come to a state by a longer way than there is.
	expect(row!.depth).toBeGreaterThanOrEqual(depth);
	expect((await cli("merge", files[0]!)).stderr).toContain("parts are missing: 2/2");
	expect((await cli("merge", SCENARIO)).stderr).toContain("not JSON");
	const damage = async (change: (report: Damaged) => void) => {
		const report = JSON.parse(readFileSync(files[0]!, "utf8")) as Damaged;
		change(report);
		const file = join(folder, "damaged.json");
		writeFileSync(file, JSON.stringify(report));
		return (await cli("merge", `${file},${files[1]}`)).stderr;
	};
	expect(await damage((report) => delete report.shard)).toContain("not the report of a shard: shard");
	expect(await damage((report) => delete report.results[0]!.depth)).toContain("a shard: results.0.depth");
	expect(await damage((report) => delete report.results[0]!.seconds)).toContain("a shard: results.0.seconds");
	expect(await damage((report) => Object.assign(report, { shard: "3/2" }))).toContain("a shard: shard: Invalid part");
	const visited = { state: "many" };
	expect(await damage((report) => Object.assign(report.results[0]!, { visited }))).toContain("results.0.visited");
	expect(await damage(() => {})).toBe("");
}, 60_000);

test("explore stops at its budget, its time, and at Ctrl-C, and says what is known", async () => {
	const bounded = await cli("explore", SCENARIO, "--design", "universe", "--budget", "50");
	expect(bounded.status).toBe(1);
	expect(bounded.stdout).toMatch(/\nuniverse +bounded +- /);
	expect(bounded.stdout).toContain("bounded: not all states were seen");
	const running = cli("explore", "scenarios/hybrid-lp1-lp2-lp3.yaml", "--all-designs", "--no-reduction");
	// The last listener is the command's own; the test runner's must not hear of it.
	await expect.poll(() => process.listeners("SIGINT").length, { timeout: 20_000 }).toBeGreaterThan(0);
	setTimeout(() => process.listeners("SIGINT").at(-1)!("SIGINT"), 1000);
	const interrupted = await running;
	expect(interrupted.status).toBe(1);
	expect(interrupted.stdout).toMatch(/\nmainline +bounded +- +- +\d+ /);
	expect(interrupted.stdout).not.toContain("universe");
}, 60_000);

test("what is wrong with the command line", async () => {
	const both = await cli("explore", SCENARIO, "--design", "mainline", "--all-designs");
	expect([both.status, both.stderr]).toEqual([2, expect.stringContaining("exclude each other")]);
	expect((await cli("explore", SCENARIO, "--shard", "3/2")).stderr).toContain("no part such as 1/4");
	expect((await cli("explore", SCENARIO, "--invariant", "stuk")).stderr).toContain("stuck");
	const noSchedule = await cli("replay", SCENARIO);
	expect([noSchedule.status, noSchedule.stderr]).toEqual([2, expect.stringContaining("klpemu schedule 1")]);
});
