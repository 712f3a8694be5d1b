/**
 * npm run bench:explore: the speed of exploring scenarios/hybrid-lp1-lp2-lp3.yaml, without reduction, so that there are
 * enough states: states per second, bytes per state, and the growth of the time with the number of states.
 */
import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { INVARIANTS } from "../../src/consistency/index.js";
import { explore } from "../../src/explore/index.js";
import { nodeHost } from "../../src/node/index.js";
import { createModel, parseScenario } from "../../src/scenario/index.js";
import { describeMachine } from "../common/index.js";

const { values } = parseArgs({ options: { json: { type: "boolean" }, smoke: { type: "boolean" } } });
const FILE = "scenarios/hybrid-lp1-lp2-lp3.yaml";
const SIZES = values.smoke ? [2_000] : [50_000, 100_000, 200_000, 400_000];

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

async function measure(budget: number): Promise<Row> {
	const scenario = parseScenario(await readFile(FILE, "utf8"), FILE);
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

await measure(1_000);
const rows: Row[] = [];
for (const size of SIZES) rows.push(await measure(size));
const [first, last] = [rows[0]!, rows.at(-1)!];
/** 1: linear. Start-up, which matters more for small sizes, makes it smaller. */
const exponent =
	rows.length < 2 ? undefined : Math.log(last.cpuSeconds / first.cpuSeconds) / Math.log(last.states / first.states);
if (values.json) {
	console.log(JSON.stringify({ schema: 1, machine: describeMachine(), scenario: FILE, rows, exponent }, undefined, 2));
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
}
