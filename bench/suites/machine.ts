/** The machine itself: start-up, memory, and scenarios per second. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { designs } from "../../src/designs/index.js";
import type { Machine } from "../../src/machine/index.js";
import { nodeHost, PROJECT } from "../../src/node/index.js";
import { type Host, parseScenario, runScenario, type Scenario } from "../../src/scenario/index.js";
import { benchMachine, enable, type Measured, median, type Part, type Unit } from "../common/index.js";

const run = promisify(execFile);

export async function machine(design: string, cpu: string, smoke: boolean): Promise<Part> {
	const rows: Measured[] = [];
	const row = (id: string, what: string, unit: Unit, value: number, exact = false): void => {
		rows.push({ suite: "machine", id, what, design, cpu, unit, value, exact });
	};
	const times = smoke ? 1 : 7;
	row("start/node", "node itself, start to exit", "ms", await command(["-e", "0"], times));
	const cli = ["dist/cli/main.js", "run", "scenarios/hybrid-lp1-lp2-lp3.yaml", "--cpu", cpu];
	row("start/run", "klpemu run scenarios/hybrid-lp1-lp2-lp3.yaml, start to exit", "ms", await command(cli, times));
	await create(row, design, cpu, times);
	await memory(row, design, cpu, smoke);
	await throughput(row, cpu, smoke ? 1 : 2000);
	return { rows, absent: [] };
}

type AddRow = (id: string, what: string, unit: Unit, value: number, exact?: boolean) => void;

/** Milliseconds from start to exit of a node process in the project's folder. */
async function command(args: readonly string[], times: number): Promise<number> {
	const took: number[] = [];
	for (let i = 0; i < times; i++) {
		const start = performance.now();
		await run(process.execPath, args, { cwd: PROJECT });
		took.push(performance.now() - start);
	}
	return median(took);
}

async function create(row: AddRow, design: string, cpu: string, times: number): Promise<void> {
	const took: number[] = [];
	for (let i = 0; i <= times; i++) {
		const start = performance.now();
		const made = await benchMachine("calls.c", { design, cpu });
		// The first one loads and compiles.
		if (i > 0) took.push(performance.now() - start);
		made.close();
	}
	row("create", "one more machine in a process", "ms", median(took));
}

/** JavaScript memory in use after garbage collection, in bytes. */
function heap(): number {
	for (let i = 0; i < 4; i++) collect();
	const { heapUsed, external } = process.memoryUsage();
	return heapUsed + external;
}

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function guestBytes(machine: Machine): number {
	return machine.memory.regions.reduce((sum, { length }) => sum + length, 0);
}

async function memory(row: AddRow, design: string, cpu: string, smoke: boolean): Promise<void> {
	const tasks = smoke ? 100 : 10_000;
	const functions = smoke ? 100 : 1000;
	const made = await benchMachine("many.c", { design, cpu, memoryBytes: (16 << 20) + 100 * 16384 });
	const address = made.vmlinux.symbol("sleep_deep")!.address;
	const addTask = (name: string, idle: boolean) => made.tasks.add({ name, kthread: false, calls: [address], idle });
	// The first machine also allocates data that all machines share.
	addTask("first", false);
	for (let i = 0; i < 20; i++) made.round();

	let before = heap();
	for (let i = 0; i < tasks; i++) addTask(`task/${i}`, true);
	row("memory/task", "a task: JavaScript memory", "bytes", (heap() - before) / tasks);
	let guest = guestBytes(made);
	addTask("runs", false);
	for (let i = 0; i < 20; i++) made.round();
	row("memory/stack", "a task that has run: guest memory", "bytes", guestBytes(made) - guest, true);

	before = heap();
	guest = guestBytes(made);
	const name = (i: number) => `f${String(i).padStart(3, "0")}`;
	const funcs = Array.from({ length: functions }, (_, i) => [name(i), `lp_${name(i)}`] as const);
	const refused = enable(made, "lp", { funcs });
	if (refused !== undefined || !made.settle(10_000)) throw new Error(refused ?? "the transition does not end");
	row("memory/function", "a patched function: JavaScript memory", "bytes", (heap() - before) / functions);
	row("memory/trampoline", "a patched function: guest memory", "bytes", (guestBytes(made) - guest) / functions, true);
	made.close();
}

/** A fixed set, so that a new file in scenarios/ does not change the numbers. */
const SCENARIOS = ["busy", "disable-middle", "force", "hybrid-lp1-lp2-lp3", "mainline-order", "reverse", "rfc-petr"];

/** Runs those scenarios repeatedly for the given number of milliseconds, each under its own design. */
async function throughput(row: AddRow, cpu: string, milliseconds: number): Promise<void> {
	const names = designs.map(({ name }) => name);
	const scenarios: { file: string; scenario: Scenario; host: Host }[] = [];
	for (const name of SCENARIOS) {
		const file = join(PROJECT, "scenarios", `${name}.yaml`);
		const scenario = parseScenario(await readFile(file, "utf8"), file, { designs: names });
		scenarios.push({ file, scenario, host: nodeHost(file) });
	}
	const all = async () => {
		for (const { file, scenario, host } of scenarios) {
			const report = await runScenario(scenario, { host, cpu });
			if (!report.asExpected) throw new Error(`${file} does not run as it expects`);
		}
	};
	await all();
	let rounds = 0;
	const start = performance.now();
	do {
		await all();
		rounds++;
	} while (performance.now() - start < milliseconds);
	const seconds = (performance.now() - start) / 1000;
	row(
		"scenarios",
		`scenarios (${SCENARIOS.length} different ones, in turn)`,
		"per s",
		(rounds * SCENARIOS.length) / seconds,
	);
}
