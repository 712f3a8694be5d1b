/**
 * Explores scenarios/hybrid-lp1-lp2-lp3.yaml and scenarios/family/ under every design, and writes what it finds to
 * docs/findings.md, its schedules to test/consistency/schedules/, and the exact counts beside each scenario (NAME.counts.json).
 * Usage: npm run findings [-- --check | -- --counts FILE...]
 *
 * --check writes nothing and fails if a verdict, its text, a count, or the verdicts at the beginning of a scenario differ from the files. It
 * does not compare stories, because they contain every step of kernel code, also steps on which no verdict depends.
 * --counts writes the counts of these scenarios only; those of scenarios/hunting are explored under their own design alone, and
 * test/explore/hunting.long.ts checks them.
 */
import { fork } from "node:child_process";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { INVARIANTS, type Invariant } from "../src/consistency/index.js";
import { designs } from "../src/designs/index.js";
import { formatSchedule, type Schedule } from "../src/explore/index.js";
import { nodeHost } from "../src/node/index.js";
import { exploreScenario, parseScenario, replaySchedule, type Scenario } from "../src/scenario/index.js";
import {
	type Counts,
	checkCounts,
	checkHead,
	countsFile,
	countsOf,
	countsText,
	HUNTING,
	HUNTING_BUDGET,
	statesOf,
} from "./findings-counts.js";
import { noteOn } from "./findings-notes.js";

const FAMILY = "scenarios/family";
const BUDGET = 300_000;

interface Finding {
	readonly design: string;
	readonly scenario: string;
	readonly schedule: Schedule;
	readonly story: string;
}

interface Cell {
	readonly result: string;
	readonly invariants: readonly Invariant[];
	/** The steps that did not end as the scenario expects. */
	readonly failures: readonly string[];
	/** True if one of them ends as the scenario expects in no schedule. */
	readonly never: boolean;
	readonly counts: Counts;
}

async function exploreAll(file: string, design: string): Promise<{ cell: Cell; findings: Finding[] }> {
	const text = await readFile(file, "utf8");
	const scenario: Scenario = parseScenario(text, file);
	const machine = { host: nodeHost(file), design };
	const budget = file.startsWith(HUNTING) ? HUNTING_BUDGET : BUDGET;
	const limits = { budget, invariants: new Set(INVARIANTS), all: true, reduction: true };
	const { exploration, schedules, steps, judgement } = await exploreScenario({ scenario, machine, ...limits });
	const findings: Finding[] = [];
	for (const schedule of schedules) {
		const { story } = await replaySchedule(scenario, schedule, machine);
		findings.push({ design, scenario: scenario.title, schedule, story });
	}
	const { result } = exploration;
	const invariants = schedules.map((schedule) => schedule.invariant);
	const never = steps.some(({ expected, results }) => !results.includes(expected ?? 0));
	const counts = countsOf(exploration);
	return { cell: { result, invariants, failures: judgement.failures, never, counts }, findings };
}

function cellText({ result, invariants, failures, never }: Cell): string {
	const verdict = invariants.length > 0 ? invariants.join(", ") : result;
	return failures.length > 0 ? `${verdict} ${never ? NEVER : SOMETIMES}` : verdict;
}

/** Marks behind a verdict on another course of events than that of the scenario: in no schedule as it says, and not in all. */
const NEVER = "≠";
const SOMETIMES = "(≠)";

function otherwise(explored: readonly Explored[]): string[] {
	return explored.flatMap(({ file, cells }) => {
		const byText = new Map<string, string[]>();
		for (const [index, { failures }] of cells.entries()) {
			for (const failure of failures) byText.set(failure, [...(byText.get(failure) ?? []), designs[index]!.name]);
		}
		return [...byText].map(([failure, names]) => {
			const list = names.map((name) => `\`${name}\``).join(", ");
			return `* \`${file.replace(/^scenarios\//, "")}\` under ${list}: ${failure}`;
		});
	});
}

/** The same story under several designs is printed once. */
function tell(findings: readonly Finding[]): string[] {
	const stories = new Map<string, Finding[]>();
	for (const finding of findings) {
		const key = `${finding.scenario} ${finding.schedule.invariant} ${finding.story}`;
		stories.set(key, [...(stories.get(key) ?? []), finding]);
	}
	return [...stories.values()].flatMap((same) => {
		const { scenario, schedule, story } = same[0]!;
		const names = same.map(({ design }) => `\`${design}\``).join(", ");
		const note = noteOn(schedule.scenario, schedule.invariant, same[0]!.design);
		return [
			`### ${schedule.invariant}: ${scenario}`,
			"",
			`Designs: ${names}. ${schedule.moves.length} moves, \`${schedule.scenario}\`.`,
			"",
			...(note === undefined ? [] : [note, ""]),
			...story
				.trimEnd()
				.split("\n")
				.map((line) => `    ${line}`.trimEnd()),
			"",
		];
	});
}

function byDesign(findings: readonly Finding[]): string[] {
	return designs.flatMap(({ name, title }) => {
		const own = findings.filter(({ design }) => design === name);
		const lines = own.map(
			({ schedule, scenario }) => `* \`${schedule.invariant}\` in "${scenario}": ${schedule.message}`,
		);
		return [
			`### \`${name}\``,
			"",
			`${title}.`,
			"",
			...(own.length === 0 ? ["Nothing breaks in these scenarios."] : lines),
			"",
		];
	});
}

/** The text of one scenario. */
interface Explored {
	readonly file: string;
	readonly cells: readonly Cell[];
	readonly findings: readonly Finding[];
}

const ALL = designs.map(({ name }) => name);

async function designsOf(file: string): Promise<readonly string[]> {
	return file.startsWith(HUNTING) ? [parseScenario(await readFile(file, "utf8"), file).design] : ALL;
}

async function exploreFile(file: string): Promise<Explored> {
	const cells: Cell[] = [];
	const findings: Finding[] = [];
	for (const name of await designsOf(file)) {
		const { cell, findings: found } = await exploreAll(file, name);
		findings.push(...found);
		cells.push(cell);
		process.stderr.write(`${file} ${name}: ${cellText(cell)}\n`);
	}
	return { file, cells, findings };
}

/** Explores files in other processes, one a core: each takes the next file when it has explored one. */
async function exploreElsewhere(files: readonly string[]): Promise<Explored[]> {
	const left = [...files];
	const explored: Explored[] = [];
	const exploreSome = () =>
		new Promise<void>((resolve, reject) => {
			const child = fork(fileURLToPath(import.meta.url), ["--here"], { stdio: "inherit" });
			let file: string | undefined;
			const next = () => {
				file = left.shift();
				if (file === undefined) child.disconnect();
				else child.send(file);
			};
			child.on("message", (message) => {
				explored.push(message as Explored);
				next();
			});
			child.on("exit", (code) => {
				if (code === 0 && file === undefined) resolve();
				else reject(new Error(`the exploration of ${file} ended with ${code}`));
			});
			next();
		});
	await Promise.all(Array.from({ length: Math.min(availableParallelism(), files.length) }, exploreSome));
	return explored;
}

function notAsSaid(explored: readonly Explored[]): string[] {
	const lines = otherwise(explored);
	if (lines.length === 0) return [];
	return [
		"## Not as the scenario says",
		"",
		`${NEVER}: a step ends as the scenario says in no schedule, so that the verdict is about another course of events. ${SOMETIMES}: in some`,
		"schedules only, where an administrator is too early or too late.",
		"",
		...lines,
		"",
	];
}

function document(explored: readonly Explored[]): string {
	const findings = explored.flatMap((one) => one.findings);
	const rows = explored.map(({ file, cells }) => {
		return `| \`${file.replace(/^scenarios\//, "")}\` | ${cells.map(cellText).join(" | ")} |`;
	});
	return [
		"# What the explorer finds",
		"",
		"Written by `npm run findings`, never by hand; CI checks the verdicts (`npm run findings -- --check`).",
		"",
		"Each scenario under each design: the invariants that some schedule breaks, or *complete* when every schedule was tried and none",
		`does, or *bounded* when ${BUDGET} states were not enough. docs/exploring.md says what a schedule is and what is left out.`,
		"",
		`| scenario | ${designs.map(({ name }) => name).join(" | ")} |`,
		`|${"---|".repeat(designs.length + 1)}`,
		...rows,
		"",
		"Each file gives each design the keys that an author would write under it. Where designs come out alike, there is a reason:",
		"`per-func-reject` is mainline behind a check of the load, so that it is mainline where it accepts. `rfc-2025`,",
		"`replace-tag-draft` and `replace-set-v1` let older patches stay below the nops of mainline's klp_add_nops(). `replace-set-v2`",
		"refuses sets that overlap, which the files expect (`errno`): there its verdict is about the steps that remain.",
		"",
		...notAsSaid(explored),
		"## By design",
		"",
		...byDesign(findings),
		STORIES,
		"",
		"[findings/](findings/README.md) has a page for each finding that is new, with what a real kernel did.",
		"",
		"Each is a shortest schedule; `klpemu explore FILE --design D --every-invariant --save DIR` writes it down, and `klpemu replay`",
		"makes it again, on any Cpu. A finding without a known earlier report is marked *new*, with the cause in the kernel's code.",
		"",
		...tell(findings),
	].join("\n");
}

/** The schedules behind the findings: test/consistency/schedules.test.ts makes their moves under the judge of `run`. */
const SCHEDULES = "test/consistency/schedules";

async function saveSchedules(schedules: readonly Schedule[]): Promise<void> {
	await rm(SCHEDULES, { recursive: true, force: true });
	await mkdir(SCHEDULES, { recursive: true });
	for (const schedule of schedules) {
		const name = `${basename(schedule.scenario, ".yaml")}.${schedule.design}.${schedule.invariant}.schedule`;
		await writeFile(join(SCHEDULES, name), formatSchedule(schedule));
	}
}

const FILE = "docs/findings.md";
const STORIES = "## The stories";

const countsIn = async ({ file, cells }: Explored) => {
	const names = await designsOf(file);
	return new Map(cells.map(({ counts }, i) => [names[i]!, counts]));
};

/** Prints the differences before the stories, and sets process.exitCode if there are any. */
async function check(text: string): Promise<void> {
	const verdicts = (all: string) => all.slice(0, all.indexOf(STORIES)).split("\n");
	const [old, now] = [verdicts(await readFile(FILE, "utf8")), verdicts(text)];
	const gone = old.filter((line) => !now.includes(line)).map((line) => `- ${line}`);
	const come = now.filter((line) => !old.includes(line)).map((line) => `+ ${line}`);
	if (gone.length + come.length === 0) return;
	process.stderr.write(`${FILE} is not current: npm run findings\n${[...gone, ...come].join("\n")}\n`);
	process.exitCode = 1;
}

/** Those with the most states first: nothing is beside the last file. */
async function longestFirst(files: readonly string[]): Promise<string[]> {
	const sized = await Promise.all(files.map(async (file) => ({ file, states: await statesOf(file) })));
	return sized.sort((a, b) => b.states - a.states).map(({ file }) => file);
}

const [mode, ...named] = process.argv.slice(2);
if (mode === "--here") {
	process.on("message", async (file: string) => process.send!(await exploreFile(file)));
} else {
	const family = (await readdir(FAMILY)).filter((name) => name.endsWith(".yaml")).sort();
	const all = ["scenarios/hybrid-lp1-lp2-lp3.yaml", ...family.map((name) => join(FAMILY, name))];
	const files = mode === "--counts" ? named : all;
	const explored = await exploreElsewhere(await longestFirst(files));
	explored.sort((a, b) => files.indexOf(a.file) - files.indexOf(b.file));
	const beside = explored.filter(({ file }) => file.startsWith(FAMILY) || file.startsWith(HUNTING));
	if (mode === "--check") {
		await check(`${document(explored).trimEnd()}\n`);
		for (const one of beside) await checkCounts(one.file, await countsIn(one));
	} else {
		for (const one of beside) await writeFile(countsFile(one.file), countsText(await countsIn(one)));
	}
	if (mode === undefined) {
		await writeFile(FILE, `${document(explored).trimEnd()}\n`);
		await saveSchedules(explored.flatMap(({ findings }) => findings.map(({ schedule }) => schedule)));
	}
	for (const one of beside) await checkHead(one.file, await countsIn(one));
}
