/**
 * npm run bench:explore: the speed of exploring scenarios/hybrid-lp1-lp2-lp3.yaml, without reduction, so that there are
 * enough states: states per second, bytes per state, and the growth of the time with the number of states; then the same with longer
 * tasks, a million states. Beside both, in the same run, SPIN on a model with as many states and moves.
 */
import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { INVARIANTS } from "../../src/consistency/index.js";
import { explore, isEndless, Memo, Search, World } from "../../src/explore/index.js";
import { nodeHost } from "../../src/node/index.js";
import { createModel, parseScenario } from "../../src/scenario/index.js";
import { describeMachine } from "../common/index.js";
import { measureSpin, type SpinRow } from "./spin.js";

const { values } = parseArgs({ options: { json: { type: "boolean" }, smoke: { type: "boolean" } } });
const FILE = "scenarios/hybrid-lp1-lp2-lp3.yaml";
const TEXT = await readFile(FILE, "utf8");
const SIZES = values.smoke ? [2_000] : [50_000, 200_000, 450_000];
/** SPIN's model with as many states as all of the scenario has: 443,387. */
const SPIN_MODEL = { steps: 109, places: 63 };
const MILLION = { budget: 1_200_000, spin: { steps: 108, places: 101 } };

/** The scenario with tasks that call more: 1,112,392 states. */
function longerTasks(): string {
	const changes = [
		["worker: { count: 2, calls: [funcA, funcB] }", "worker: { count: 2, calls: [funcA, funcB, funcA] }"],
		["sleeper: { calls: [funcB],", "sleeper: { calls: [funcB, funcA],"],
		["kwork: { kthread: true, calls: [funcA] }", "kwork: { kthread: true, calls: [funcA, funcB] }"],
	] as const;
	return changes.reduce((text, [from, to]) => {
		if (!text.includes(from)) throw new Error(`${FILE} has no line '${from}' any more`);
		return text.replace(from, to);
	}, TEXT);
}

interface Row {
	readonly states: number;
	readonly transitions: number;
	readonly seconds: number;
	/** Of all threads of this process, the collector's too. */
	readonly cpuSeconds: number;
	readonly statesPerSecond: number;
	/** The same by CPU time: the speed of one core without other load. */
	readonly statesPerCpuSecond: number;
	readonly bytesPerState: number;
	/** Share of moves that really executed code. */
	readonly executed: number;
}

async function measure(text: string, budget: number): Promise<Row> {
	const scenario = parseScenario(text, FILE);
	const model = await createModel(scenario, { host: nodeHost(FILE), design: "universe" });
	const limits = { budget, invariants: new Set(INVARIANTS), all: false, reduction: false };
	const [start, cpu] = [performance.now(), process.cpuUsage()];
	const { states, transitions, bytes, result, executed } = await explore(model, limits);
	const seconds = (performance.now() - start) / 1000;
	const { user, system } = process.cpuUsage(cpu);
	model.machine.close();
	if (result === "violated") throw new Error(`${FILE} under universe is violated: nothing to measure`);
	const cpuSeconds = (user + system) / 1e6;
	return {
		states,
		transitions,
		seconds,
		cpuSeconds,
		statesPerCpuSecond: states / cpuSeconds,
		statesPerSecond: states / seconds,
		bytesPerState: bytes / states,
		executed: (executed.kernel + executed.guest) / transitions,
	};
}

/** The second search of a world: nothing is executed any more, so that it handles numbers only. */
async function measureNumbers(
	text: string,
	budget: number,
): Promise<{ readonly states: number; readonly statesPerCpuSecond: number }> {
	const scenario = parseScenario(text, FILE);
	const model = await createModel(scenario, { host: nodeHost(FILE), design: "universe" });
	// Without those that ask for ways to an end: SPIN does not look for them either.
	const invariants = new Set(INVARIANTS.filter((name) => !isEndless(name)));
	const world = new World(model);
	const memo = new Memo(world, invariants);
	const idle = model.machine.sched.cpus.map((cpu) => cpu.idle.comm);
	const active = world.names.filter((name) => idle.includes(name) || model.tasks.some((task) => task.name === name));
	const limits = { budget, invariants, all: false, reduction: false };
	await new Search(model, memo, active, limits).run();
	const cpu = process.cpuUsage();
	const { states } = await new Search(model, memo, active, limits).run();
	const { user, system } = process.cpuUsage(cpu);
	model.machine.close();
	return { states, statesPerCpuSecond: states / ((user + system) / 1e6) };
}

function sayBeside(row: Row, numbers: number, spin: readonly SpinRow[] | undefined): void {
	console.log(
		`\n${row.states} states, ${row.transitions} transitions: ${row.statesPerCpuSecond.toFixed(0)} states/CPU s, ` +
			`${row.bytesPerState.toFixed(1)} bytes/state; numbers only (a second search, in which nothing is executed): ` +
			`${numbers.toFixed(0)} states/CPU s`,
	);
	if (spin === undefined) {
		console.log("SPIN is not beside it, because spin or gcc is not installed: apt-get install spin gcc");
		return;
	}
	console.log("SPIN, bench/explore/transition.pml");
	for (const { flags, states, transitions, statesPerCpuSecond, bytesPerState } of spin) {
		const ratio = (speed: number) => (speed / statesPerCpuSecond).toFixed(2);
		console.log(
			`   ${flags}: ${states} states, ${transitions} transitions, ${statesPerCpuSecond.toFixed(0)} states/CPU s, ` +
				`${bytesPerState.toFixed(0)} bytes/state\n` +
				`      klpemu / SPIN: numbers only ${ratio(numbers)}, with what is executed ${ratio(row.statesPerCpuSecond)}, ` +
				`bytes ${(row.bytesPerState / bytesPerState).toFixed(2)}`,
		);
	}
	const apart = Math.max(...spin.map(({ states }) => Math.abs(states / row.states - 1)));
	console.log(`   The numbers of states differ by ${(100 * apart).toFixed(0)} %.`);
}

function sayWhatIsCompared(): void {
	console.log(
		[
			"",
			"To be compared: CPU time and bytes for a state of one search on one core, in one run. The searches do not do the same:",
			"SPIN's model is C that computes a step, is searched depth first, keeps the way on a stack that is not counted here,",
			"and knows nothing of machine code; klpemu's states come from code that was executed, and its schedules are shortest.",
			"SPIN's bytes are without its hash table (-w22), klpemu's with its index; -DCOLLAPSE pays off with larger vectors only.",
		].join("\n"),
	);
}

async function measureMillion() {
	const text = longerTasks();
	const row = await measure(text, MILLION.budget);
	const { statesPerCpuSecond: numbersOnly } = await measureNumbers(text, MILLION.budget);
	return { row, numbersOnly, spin: measureSpin(MILLION.spin) };
}

await measure(TEXT, 1_000);
const rows: Row[] = [];
for (const size of SIZES) rows.push(await measure(TEXT, size));
const [first, last] = [rows[0]!, rows.at(-1)!];
/** 1: linear. Start-up, which matters more for small sizes, makes it smaller. */
const exponent =
	rows.length < 2 ? undefined : Math.log(last.cpuSeconds / first.cpuSeconds) / Math.log(last.states / first.states);
const numbers = (await measureNumbers(TEXT, SIZES.at(-1)!)).statesPerCpuSecond;
const spin = values.smoke ? undefined : measureSpin(SPIN_MODEL);
const million = values.smoke ? undefined : await measureMillion();
if (values.json) {
	const report = {
		schema: 1,
		machine: describeMachine(),
		scenario: FILE,
		rows,
		exponent,
		numbersOnly: numbers,
		spin,
		million,
	};
	console.log(JSON.stringify(report, undefined, 2));
} else {
	console.log(`${FILE}, design universe, without reduction\n`);
	console.log("   states  transitions  seconds  CPU s   states/s  states/CPU s  bytes/state  executed");
	for (const row of rows) {
		const cells = [
			String(row.states).padStart(9),
			String(row.transitions).padStart(12),
			row.seconds.toFixed(2).padStart(8),
			row.cpuSeconds.toFixed(2).padStart(6),
			row.statesPerSecond.toFixed(0).padStart(10),
			row.statesPerCpuSecond.toFixed(0).padStart(13),
			row.bytesPerState.toFixed(0).padStart(12),
			`${(100 * row.executed).toFixed(2)} %`.padStart(9),
		];
		console.log(cells.join(" "));
	}
	if (exponent !== undefined) console.log(`\nCPU time ~ states^${exponent.toFixed(2)}`);
	if (million !== undefined) {
		sayBeside(last, numbers, spin);
		sayBeside(million.row, million.numbersOnly, million.spin);
		sayWhatIsCompared();
	}
}
