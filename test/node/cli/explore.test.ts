/** klpemu explore, replay and merge, as people call them. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import type { ExploreReport } from "../../../src/node/cli/explore-report.js";
import { textFingerprint } from "../../../src/scenario/index.js";
import { cliOf } from "../../support/cli.js";
import { skipBecause } from "../../support/skip.js";
import { SMALL } from "../../support/small-scenario.js";

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

/** One livepatch: a few hundred states under any design. */
const ONE = join(folder, "one.yaml");
writeFileSync(ONE, `title: One patch\n${SMALL.replace(/^\ntitle:.*\n/, "")}`);

const cli = (...argv: string[]) => cliOf(argv);

test("explore: a table, a schedule that is saved, and its replay with a story", async () => {
	const { status, stdout } = await cli("explore", SCENARIO, "--save", folder);
	expect(status).toBe(1);
	expect(stdout).toMatch(
		/^Small · preemption none\n\ndesign +verdict +expected +invariant +schedule +states +transitions +depth +seconds\n/,
	);
	expect(stdout).toMatch(/\nrfc-2025 +violated +NO +mixed-universe +\d+ moves +\d+ /);
	const file = join(folder, "small.rfc-2025.mixed-universe.schedule");
	expect(readFileSync(file, "utf8")).toMatch(/^klpemu schedule 1\nscenario: .*\nfingerprint: .*\ndesign: rfc-2025\n/);
	const replay = await cli("replay", file);
	expect(replay).toMatchObject({ status: 0, stderr: "" });
	expect(replay.stdout).toMatch(/^rfc-2025: \d+ moves: mixed-universe: worker runs \(original, lp3_funcB\)/);
	const story = await cli("replay", file, "--story", "--cpu", "unicorn");
	expect(story.stdout).toMatch(/^# .*\n\n.*\n\n1\. shell: insmod lp1\n {3}- func_stack of funcA: \[lp1_funcA\]\n/);
	expect(story.stdout).toContain("**mixed-universe**: worker runs");
	const json = JSON.parse((await cli("replay", file, "--json")).stdout);
	expect(json).toMatchObject({ schema: 1, design: "rfc-2025", invariant: "mixed-universe" });

	// One move less breaks nothing; a schedule says its length, and which invariant it breaks.
	const text = readFileSync(file, "utf8");
	const length = Number(/^length: (\d+)$/m.exec(text)![1]);
	const shorter = join(folder, "shorter.schedule");
	writeFileSync(shorter, text.replace(/.*\n$/, "").replace(/^length: .*$/m, `length: ${length - 1}`));
	expect(await cli("replay", shorter)).toMatchObject({
		status: 1,
		stdout: `rfc-2025: ${length - 1} moves: nothing is broken\n`,
	});
	expect(JSON.parse((await cli("replay", shorter, "--json")).stdout)).toMatchObject({ invariant: null, message: null });
	writeFileSync(shorter, text.replace(/^scenario: .*$/m, "scenario: gone.yaml"));
	const gone = await cli("replay", shorter);
	expect([gone.status, gone.stderr]).toEqual([2, expect.stringContaining("there is no scenario 'gone.yaml'")]);

	const before = readFileSync(SCENARIO, "utf8");
	try {
		writeFileSync(SCENARIO, "title: [");
		expect((await cli("replay", file)).stderr).toContain("not valid YAML");
		writeFileSync(SCENARIO, before.replace("title: Small", "# a comment\ntitle:   Another title"));
		expect(await cli("replay", file)).toMatchObject({ status: 0 });
		writeFileSync(SCENARIO, before.replace("steps: [", "steps: [{ run: 1 }, "));
		const stale = await cli("replay", file);
		expect(stale.status).toBe(2);
		expect(stale.stderr).toContain("is not what it was when the schedule was made");
	} finally {
		writeFileSync(SCENARIO, before);
	}

	// As klpemu 0.1 saved it: the hash of the text, and the way from the folder that it was called in.
	const old = readFileSync(file, "utf8").replace(/^fingerprint: .*$/m, `fingerprint: ${textFingerprint(before)}`);
	const elsewhere = join(folder, "deep", "er");
	mkdirSync(elsewhere, { recursive: true });
	writeFileSync(join(elsewhere, "old.schedule"), old.replace(/^scenario: .*$/m, "scenario: small.yaml"));
	expect(await cli("replay", join(elsewhere, "old.schedule"))).toMatchObject({ status: 0 });
});

test("explore --save where nothing can be saved: the verdict is printed, and the error is clear", async () => {
	const file = join(folder, "a-file");
	writeFileSync(file, "");
	const { status, stdout, stderr } = await cli("explore", SCENARIO, "--save", file);
	expect(status).toBe(2);
	expect(stdout).toContain("mixed-universe");
	expect(stderr).toMatch(/^cannot write '.*a-file\/small.*schedule': .*a-file is not a folder\n$/m);
	expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
});

test("explore --save on a full disk: the verdict, a clear error, and no torn file", async ({ skip }) => {
	if (!existsSync("/dev/full")) skipBecause(skip, "there is no /dev/full here, as there is on Linux");
	const saved = join(folder, "full");
	mkdirSync(saved);
	// Each file is written beside its place first.
	const name = "small.rfc-2025.mixed-universe.schedule";
	symlinkSync("/dev/full", join(saved, `${name}.${process.pid}.tmp`));
	const { status, stdout, stderr } = await cli("explore", SCENARIO, "--save", saved);
	expect(status).toBe(2);
	expect(stdout).toContain("mixed-universe");
	expect(stderr).toMatch(/^cannot write '.*full\/small.*schedule': ENOSPC\n$/m);
	expect(readdirSync(saved)).toEqual([]);
});

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
});

/** lp3's transition is over in an instant where no task makes moves. */
const scenario = (steps: string, expect = "consistent", lp2 = "replaceable: true") => {
	const file = join(folder, "said.yaml");
	writeFileSync(
		file,
		`title: Said
design: per-func-reject
vmlinux: [asm/vmlinux/funcs.c]
livepatches:
  lp1: { sources: [asm/livepatches/lp1.c], funcs: { funcA: { new_func: lp1_funcA } } }
  lp2: { sources: [asm/livepatches/lp2.c], funcs: { funcA: { new_func: lp2_funcA, ${lp2} } } }
steps: [${steps}]
expect: ${expect}
`,
	);
	return file;
};

async function verdictOf(file: string, ...options: string[]) {
	const { status, stdout } = await cli("explore", file, "--json", ...options);
	const { results } = JSON.parse(stdout) as ExploreReport;
	const { result, asExpected, failures, steps } = results[0]!;
	return { status, result, asExpected, failures, results: steps!.map((step) => step.results) };
}

test("explore: a step that is refused is not as the scenario says", async () => {
	const refused = await verdictOf(scenario("{ insmod: lp1 }, settle, { insmod: lp2 }"));
	expect(refused).toMatchObject({ status: 1, result: "complete", asExpected: false, results: [[0], [0], [-22]] });
	expect(refused.failures).toEqual([
		expect.stringMatching(/^step 3, insmod lp2 \(.*said.yaml:7:34\): the result is -EINVAL, not success$/),
	]);
	const table = await cli("explore", scenario("{ insmod: lp1 }, settle, { insmod: lp2 }"));
	expect(table.stdout).toMatch(/\nper-func-reject +complete +NO /);
	expect(table.stdout).toContain("per-func-reject: not as the scenario says: step 3, insmod lp2 (");
});

test("explore: an errno that is expected, beside the step or behind it", async () => {
	const errno = await verdictOf(scenario("{ insmod: lp1 }, settle, { insmod: lp2, errno: EINVAL }"));
	expect(errno).toMatchObject({ status: 0, asExpected: true, failures: [] });
	const behind = "{ insmod: lp1 }, settle, { insmod: lp2 }, { expect: { design: per-func-reject, errno: -22 } }";
	expect(await verdictOf(scenario(behind))).toMatchObject({ status: 0, asExpected: true });
	const plain = scenario(behind, "consistent", "");
	expect(await verdictOf(plain, "--design", "universe")).toMatchObject({ status: 0, asExpected: true });
	const none = await verdictOf(scenario("{ insmod: lp1, errno: EBUSY }"));
	expect(none).toMatchObject({ status: 1, failures: [expect.stringContaining("the result is success, not -EBUSY")] });
});

test("explore: a result that a step has in some schedules only", async () => {
	const { status, failures } = await verdictOf(scenario("{ insmod: lp1 }, { insmod: lp2 }"), "--design", "mainline");
	expect(status).toBe(1);
	expect(failures).toEqual([expect.stringContaining("step 2, insmod lp2")]);
	expect(failures![0]).toMatch(/the result is -EBUSY, not success in some schedules$/);
});

test("explore: the verdict that the scenario expects", async () => {
	expect(await verdictOf(scenario("{ insmod: lp1 }, settle", "violated"))).toMatchObject({
		status: 1,
		asExpected: false,
		failures: [],
	});
	const table = await cli("explore", scenario("{ insmod: lp1 }, settle", "violated"));
	expect(table.stdout).toContain("the verdict is consistent, and the scenario expects violated");
	// Where not every state is looked at, nothing is known, and no part of a search sees all.
	expect(await verdictOf(scenario("{ insmod: lp1 }, settle", "violated"), "--budget", "5")).toMatchObject({
		status: 3,
		asExpected: null,
	});
	expect(await verdictOf(scenario("{ insmod: lp1 }, settle", "violated"), "--shard", "1/2")).toMatchObject({
		status: 0,
		asExpected: null,
	});
	expect(await cli("explore", SCENARIO)).toMatchObject({ status: 1 });
	writeFileSync(join(folder, "violated.yaml"), `${readFileSync(SCENARIO, "utf8")}expect: violated\n`);
	expect(await cli("explore", join(folder, "violated.yaml"))).toMatchObject({ status: 0 });
});

test("explore: a step that no schedule comes to the end of, and a race in which one step always fails", async () => {
	const sleeper = `title: t
vmlinux: [asm/vmlinux/funcs.c]
livepatches: { lp1: { sources: [asm/livepatches/lp1.c], funcs: { funcA: lp1_funcA } } }
tasks: { s: { calls: [funcA], sleeps_in: funcA } }
steps: [{ run: { task: s } }, { insmod: lp1 }, settle, { disable: lp1 }]
`;
	const file = join(folder, "sleeper.yaml");
	writeFileSync(file, sleeper);
	const endless = await verdictOf(file);
	expect(endless).toMatchObject({ status: 1, result: "complete", results: [[0], [0], [], []] });
	expect(endless.failures).toEqual([
		expect.stringMatching(/^step 3, settle .*: no schedule comes to its end$/),
		expect.stringMatching(/^step 4, disable lp1 .*: no schedule comes to its end$/),
	]);
	writeFileSync(
		file,
		sleeper
			.replace("{ run: { task: s } }, ", "")
			.replace("settle, { disable: lp1 }", "settle, { race: [[{ rmmod: lp1 }], [{ force: lp1 }]] }"),
	);
	const race = await verdictOf(file);
	expect(race.failures).toEqual([
		expect.stringMatching(/^step 3, rmmod lp1 .*: the result is -EAGAIN in every schedule$/),
		expect.stringMatching(/^step 3, force lp1 .*: the result is -EINVAL in every schedule$/),
	]);
});

interface Damaged {
	shard?: string;
	readonly results: Record<string, unknown>[];
}

test("explore --shard and merge: as one process, state by state", async () => {
	const whole = JSON.parse((await cli("explore", ONE, "--json", "--design", "universe")).stdout) as ExploreReport;
	const files: string[] = [];
	for (const part of ["1/2", "2/2"]) {
		const { stdout } = await cli("explore", ONE, "--json", "--design", "universe", "--shard", part);
		files.push(join(folder, `${part.replace("/", "-")}.json`));
		writeFileSync(files.at(-1)!, stdout);
	}
	const merged = await cli("merge", ...files, "--json");
	expect(await cli("merge", files.join(","), "--json")).toEqual(merged);
	expect(merged.status).toBe(0);
	const document = JSON.parse(merged.stdout) as ExploreReport;
	expect(document.preemption).toBe("none");
	const [row] = document.results;
	const { states, transitions, depth } = whole.results[0]!;
	expect(row).toMatchObject({ design: "universe", result: "complete", states, transitions });
	// A part may have come to a state by a longer way than there is.
	expect(row!.depth).toBeGreaterThanOrEqual(depth);
	expect((await cli("merge", files[0]!)).stderr).toContain("parts are missing: 2/2");
	expect((await cli("merge", SCENARIO)).stderr).toContain("not JSON");
	expect((await cli("merge", ...files, files[0]!)).stderr).toContain("part 1/2 is given twice");
	expect(await cli("merge", ",")).toMatchObject({ status: 2, stderr: expect.stringContaining("no report is named") });
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
	expect(await damage((report) => Object.assign(report, { scenario: "Two" }))).toContain(
		"a part of something else than",
	);
	expect(await damage((report) => Object.assign(report, { shard: "1/3" }))).toContain("a part of something else than");
	expect(await damage((report) => Object.assign(report, { shard: "1/30" }))).toContain("a part of something else than");
	const other = (report: Damaged) => report.results.push({ ...report.results[0], design: "mainline" });
	expect(await damage(other)).toContain("nothing of design mainline\n  hint: explore this part again, to its end");
	writeFileSync(join(folder, "one-of-many.json"), readFileSync(files[0]!, "utf8").replace('"1/2"', '"1/30"'));
	expect((await cli("merge", join(folder, "one-of-many.json"))).stderr).toContain(
		"parts are missing: 2/30, 3/30, 4/30, 5/30, 6/30, 7/30, 8/30, 9/30, 10/30, 11/30 and 19 more",
	);
	expect(await damage(() => {})).toBe("");
});

test("explore --budget 1e9 ends at --memory, and says so; without a memory limit V8 would abort", async () => {
	const endless = ["--budget", "1000000000"];
	const { status, stdout } = await cli("explore", ONE, "--design", "universe", ...endless, "--memory", "1");
	expect(status).toBe(3);
	expect(stdout).toMatch(/\nuniverse +bounded +- /);
	expect(stdout).toContain("\nuniverse: it has used the 1 MiB of --memory\n");
	const enough = await cli("explore", ONE, "--design", "universe", ...endless, "--memory", "4000");
	expect(enough.stdout).toMatch(/\nuniverse +complete +/);
	const part = await cli("explore", SCENARIO, ...endless, "--shard", "1/2");
	expect([part.status, part.stderr]).toEqual([2, expect.stringContaining("--budget is at most 8000000")]);
});

test("explore stops at its budget, its time, and at Ctrl-C, and says what is known", async () => {
	const bounded = await cli("explore", ONE, "--design", "universe", "--budget", "50");
	expect(bounded.status).toBe(3);
	expect(bounded.stdout).toMatch(/\nuniverse +bounded +- +- /);
	expect(bounded.stdout).toContain("bounded: not all states were seen");
	// The command's own listeners: the test runner's must not hear of the signal.
	const own = new Map<string, (signal: string) => void>();
	const learn = (event: string, listener: (signal: string) => void) => void own.set(event, listener);
	process.on("newListener", learn);
	// The signal comes in the middle of the first search, which asks there how much memory is in use.
	const rss = vi.spyOn(process.memoryUsage, "rss").mockImplementation(() => {
		own.get("SIGINT")!("SIGINT");
		return 0;
	});
	const all = ["--all-designs", "--no-reduction", "--workers", "1"];
	const interrupted = await cli("explore", "scenarios/hybrid-lp1-lp2-lp3.yaml", ...all);
	process.off("newListener", learn);
	rss.mockRestore();
	expect(["SIGINT", "SIGTERM", "SIGHUP"].map((name) => own.get(name) === own.get("SIGINT"))).toEqual([
		true,
		true,
		true,
	]);
	expect(interrupted.status).toBe(3);
	expect(interrupted.stdout).toMatch(/\nmainline +bounded +- +- +- +\d+ /);
	expect(interrupted.stdout).not.toContain("universe");
});

test("explore --checkpoint saves what its budget ends, and --resume goes on to the same end", async () => {
	const file = join(folder, "checkpoint");
	const explore = async (...more: string[]) => {
		const { status, stdout } = await cli("explore", ONE, "--design", "mainline", "--json", ...more);
		const [{ result, states, transitions, depth }] = JSON.parse(stdout).results;
		return { status, result, states, transitions, depth };
	};
	const whole = await explore();
	expect(await explore("--checkpoint", file, "--budget", "60")).toMatchObject({ status: 3, result: "bounded" });
	expect(await explore("--resume", file)).toEqual(whole);
	const other = await cli("explore", ONE, "--design", "universe", "--resume", file);
	expect(other).toMatchObject({ status: 2, stderr: expect.stringContaining('design "mainline", here "universe"') });
	const foreign = await cli("explore", SCENARIO, "--resume", SCENARIO);
	expect(foreign).toMatchObject({ status: 2, stderr: expect.stringContaining("is no checkpoint") });
	const designs = await cli("explore", SCENARIO, "--all-designs", "--checkpoint", file);
	expect(designs).toMatchObject({ status: 2, stderr: expect.stringContaining("exclude --all-designs") });
});

test("mistakes in the command line", async () => {
	const both = await cli("explore", SCENARIO, "--design", "mainline", "--all-designs");
	expect([both.status, both.stderr]).toEqual([2, expect.stringContaining("exclude each other")]);
	for (const [options, message] of [
		[["--shard", "3/2"], "--shard must be I/N"],
		[["--shard", "1/2/3"], "--shard must be I/N"],
		[["--core", "x.klpcore", "--all-designs"], "--core and --all-designs exclude each other"],
		[["--core", "x.klpcore", "--design", "mainline"], "--core and --design exclude each other"],
		[["--core", join(folder, "none.klpcore")], "none.klpcore'\n  hint: klpemu kernel build makes a kernel core"],
		[["--workers", "2", "--order", "1"], "--workers and --order exclude each other"],
		[["--workers", "257"], "--workers must be from 1 to 256, not 257"],
		[["--shard", "1/2", "--inevitable"], "--shard and --inevitable exclude each other"],
		[["--shard", "1/2", "--order", "1"], "--shard and --order exclude each other"],
		[["--dot", SCENARIO], `--dot: '${SCENARIO}' is the scenario`],
	] as const) {
		const { status, stderr } = await cli("explore", SCENARIO, ...options);
		expect([status, stderr]).toEqual([2, expect.stringContaining(message)]);
	}
	const none = await cli("explore", SCENARIO, "--all-designs", "--workers", "0");
	expect([none.status, none.stderr]).toEqual([2, expect.stringContaining("--workers must be from 1 to 256, not 0")]);
	expect((await cli("explore", SCENARIO, "--invariant", "stuk")).stderr).toContain("stuck");
	const noSchedule = await cli("replay", SCENARIO);
	expect([noSchedule.status, noSchedule.stderr]).toEqual([2, expect.stringContaining("klpemu schedule 1")]);
});

test("explore --dot: the states and moves as a graph; too many are refused, and so is more than one design", async () => {
	const dot = join(folder, "states.dot");
	const one = join(folder, "alone.yaml");
	writeFileSync(one, readFileSync(ONE, "utf8").replace(/tasks:\n.*\n/, "tasks: {}\n"));
	const { status, stdout } = await cli("explore", one, "--json", "--dot", dot);
	expect(status).toBe(0);
	const [{ states, transitions }] = JSON.parse(stdout).results;
	const text = readFileSync(dot, "utf8");
	expect(text).toMatch(/^digraph "One patch \(\S+\)" \{\n/);
	expect(text.match(/^ {2}"\d+" \[label=/gm)).toHaveLength(states);
	expect(text.match(/^ {2}"\d+" -> "\d+" \[label=/gm)).toHaveLength(transitions);
	expect(text).toContain("funcA: [lp1_funcA]");
	const large = await cli("explore", "scenarios/family/four-patches.yaml", "--dot", dot);
	expect(large).toMatchObject({ status: 2, stderr: expect.stringContaining("at most 1000 states") });
	const several = await cli("explore", one, "--all-designs", "--dot", dot);
	expect(several).toMatchObject({ status: 2, stderr: expect.stringContaining("exclude each other") });
	expect(readFileSync(dot, "utf8")).toBe(text);
});
