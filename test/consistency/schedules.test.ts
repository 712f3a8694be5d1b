/**
 * The schedules behind docs/findings.md, move by move under the judge of `run`: it finds what the explorer finds. Some in npm
 * test, all in npm run test:long.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { INVARIANTS, InvariantChecker } from "../../src/consistency/index.js";
import { isEndless, type Move, parseSchedule, Replayer } from "../../src/explore/index.js";
import { nodeHost } from "../../src/node/index.js";
import { createModel, parseScenario } from "../../src/scenario/index.js";
import { sample } from "../support/sample.js";

const FOLDER = "test/consistency/schedules";
const files = readdirSync(FOLDER).sort();

test("there is a schedule for each invariant that docs/findings.md says is broken", () => {
	const said = readFileSync("docs/findings.md", "utf8")
		.split("\n")
		.filter((line) => /^\* `[\w-]+` in "/.test(line));
	expect(files).toHaveLength(said.length);
	expect(files.length).toBeGreaterThan(50);
});

test.each(sample(files, 20))("%s", async (name) => {
	const schedule = parseSchedule(readFileSync(join(FOLDER, name), "utf8"), name);
	const { scenario: file, design, moves, invariant } = schedule;
	const scenario = parseScenario(readFileSync(file, "utf8"), file);
	const model = () => createModel(scenario, { host: nodeHost(file), design });
	const wanted = await model();
	const judged = await model();
	const told = await model();
	try {
		// As klpemu replay judges it.
		const own = new Replayer(wanted).replay(moves, new Set([invariant])).at(-1)!.broken;
		if (!isEndless(invariant)) expect(own.map((one) => one.invariant)).toContain(invariant);
		const replayed = new Replayer(judged).replay(moves, new Set(INVARIANTS));
		const broken = replayed.at(-1)!.broken;
		const found = broken.map((one) => one.invariant);
		for (const { task, message } of broken) expect(message).toContain(task ?? "");
		const made = moves.slice(0, replayed.length);
		expect(byRun(new Replayer(told), made)).toEqual([...new Set(found)].sort());
	} finally {
		wanted.machine.close();
		judged.machine.close();
		told.machine.close();
	}
});

/** Makes moves, and looks at the machine as `run` does, after each step of kernel code and of a task. */
function byRun({ world }: Replayer, moves: readonly Move[]): string[] {
	const found = new Set<string>();
	const { machine, functions } = world.model;
	const checker = new InvariantChecker(machine, functions, ({ invariant, task }) => {
		// The explorer judges the tasks of the scenario.
		if (task === undefined || invariant === "use-after-free" || world.judged.includes(task)) found.add(invariant);
	});
	checker.check("start");
	for (const { who, steps, busy, late } of moves) {
		const actor = world.actors.findIndex((one) => one.name === who);
		if (actor < 0) checker.check(world.moveTask(world.slot(who)).label);
		for (let step = 0; actor >= 0 && step < steps; step++) {
			const slots = busy.filter((one) => one.step === step).map(({ task }) => world.slot(task));
			const { label, kind } = world.moveActor(actor, new Set(slots), late && step === 0);
			if (kind !== "place") checker.check(label, kind === "done" ? "done" : "step");
		}
	}
	return [...found].sort();
}
