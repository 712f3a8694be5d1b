/** npm run bench:cpu: the cost of a call, a redirected call and computing, on every Cpu and on the hardware, in one run. */
import { parseArgs } from "node:util";
import { CPU_NAMES } from "../../src/node/index.js";
import { describeMachine, geometricMean, median } from "../common/index.js";
import { coldEnable } from "./cold.js";
import { ROWS } from "./emulated.js";
import { execRequests } from "./exec.js";
import { findQemu, Native, type Rows } from "./native.js";
import { Processor } from "./processor.js";

const { values } = parseArgs({ options: { json: { type: "boolean" }, smoke: { type: "boolean" } } });
/** Milliseconds for each row of each Cpu in a round, and rounds: under 45 s in all. */
const MILLISECONDS = values.smoke ? 1 : 25;
const ROUNDS = values.smoke ? 1 : 15;
const BUDGET_SECONDS = 28;
const EXEC_REQUESTS = 60_000;
const COLD_PROCESSES = 5;
const COMPUTE = ["crc", "sort", "siphash", "memcpy"] as const;

interface Row {
	readonly what: string;
	readonly cpu: string;
	readonly medianNs: number;
	readonly minNs: number;
	readonly maxNs: number;
	readonly mips: number | null;
}

/** One Cpu's contribution to a round. */
type Runner = (milliseconds: number) => Promise<Rows>;

async function measure(): Promise<{ samples: Map<string, Rows[]>; instructions: ReadonlyMap<string, number> }> {
	const native = await Native.build();
	const emulated = await Promise.all(CPU_NAMES.map((cpu) => Processor.start(cpu)));
	const runners = new Map<string, Runner>([["hardware", (ms) => native.rows(ms)]]);
	const qemu = await findQemu();
	if (qemu !== undefined) runners.set("qemu-user", (ms) => native.rows(ms, qemu));
	for (const processor of emulated) runners.set(processor.cpu, (ms) => processor.rows(ms));
	// Warm-up: a Cpu with several tiers translates the code several times.
	for (const processor of emulated) await processor.rows(MILLISECONDS * 4);

	const samples = new Map<string, Rows[]>([...runners.keys()].map((cpu) => [cpu, []]));
	const start = process.hrtime.bigint();
	for (let round = 0; round < ROUNDS; round++) {
		if (Number(process.hrtime.bigint() - start) / 1e9 > BUDGET_SECONDS) break;
		for (const [cpu, run] of runners) samples.get(cpu)!.push(await run(MILLISECONDS));
	}
	const { instructions } = emulated[0]!;
	for (const processor of emulated) processor.close();
	return { samples, instructions };
}

/** Throws if the same work has different results on two Cpus, because the numbers would be meaningless. */
function checkResults(samples: ReadonlyMap<string, readonly Rows[]>): void {
	const truth = samples.get("hardware")![0]!;
	for (const [cpu, rounds] of samples) {
		for (const rows of rounds) {
			for (const [row, { result }] of rows) {
				const expected = truth.get(row)!.result;
				if (result !== expected) throw new Error(`${row} on ${cpu} gives ${result}, on the hardware ${expected}`);
			}
		}
	}
}

function table(samples: ReadonlyMap<string, readonly Rows[]>, instructions: ReadonlyMap<string, number>): Row[] {
	const rows: Row[] = [];
	for (const [what] of ROWS) {
		if (what === "loop") continue;
		const loop = what === "call" || what === "redirect";
		for (const [cpu, rounds] of samples) {
			// Calls are made in a loop, whose own cost (the median of all rounds) is subtracted.
			const off = loop ? median(rounds.map((round) => round.get("loop")!.ns)) : 0;
			const ns = rounds.map((round) => Math.max(round.get(what)!.ns - off, 0));
			const medianNs = median(ns);
			const mips = loop ? null : (instructions.get(what)! / medianNs) * 1000;
			rows.push({ what, cpu, medianNs, minNs: Math.min(...ns), maxNs: Math.max(...ns), mips });
		}
	}
	return rows;
}

function ratio(rows: readonly Row[], what: string, cpu: string, other: string): number {
	const of = (name: string) => rows.find((row) => row.what === what && row.cpu === name)!.medianNs;
	return of(cpu) / of(other);
}

function ratios(rows: readonly Row[]): Record<string, number> {
	const compute = COMPUTE.map((what) => ratio(rows, what, "jit", "hardware"));
	const qemu = rows.some((row) => row.cpu === "qemu-user");
	return {
		redirect_jit_vs_hardware: ratio(rows, "redirect", "jit", "hardware"),
		redirect_unicorn_vs_jit: ratio(rows, "redirect", "unicorn", "jit"),
		call_jit_vs_hardware: ratio(rows, "call", "jit", "hardware"),
		/** The geometric mean of the four loops. */
		compute_jit_vs_hardware: geometricMean(compute),
		compute_worst_jit_vs_hardware: Math.max(...compute),
		...(qemu ? { redirect_jit_vs_qemu_user: ratio(rows, "redirect", "jit", "qemu-user") } : {}),
	};
}

const { samples, instructions } = await measure();
const exec = await execRequests(values.smoke ? 200 : EXEC_REQUESTS);
const cold = await coldEnable(values.smoke ? 1 : COLD_PROCESSES);
checkResults(samples);
const rows = table(samples, instructions);
const machine = describeMachine();
const allRatios = { ...ratios(rows), ...(cold && { cold_jit_vs_unicorn: cold.jit / cold.unicorn }) };
if (values.json) {
	console.log(JSON.stringify({ schema: 1, machine, rows, exec, cold, ratios: allRatios }, undefined, 2));
} else {
	console.log(`${machine.processor}, ${machine.cores} cores, node ${machine.node}`);
	console.log(
		`${"what".padEnd(10)} ${"cpu".padEnd(10)} ${"median ns".padStart(12)} ${"min".padStart(12)} ${"max".padStart(12)}   MIPS`,
	);
	for (const { what, cpu, medianNs, minNs, maxNs, mips } of rows) {
		const number = (ns: number) => ns.toFixed(ns < 100 ? 2 : 0).padStart(12);
		const speed = mips === null ? "" : mips.toFixed(0).padStart(7);
		console.log(`${what.padEnd(10)} ${cpu.padEnd(10)} ${number(medianNs)} ${number(minNs)} ${number(maxNs)}${speed}`);
	}
	console.log(
		`\nexec: ${exec.perSecond.toFixed(0)} requests a second, each another program; ${exec.megabytes.toFixed(0)} MB more at the end than halfway`,
	);
	console.log(
		cold === undefined
			? "the first klp_enable_patch() of the kernel's own code is not measured: npm run build:kernel-core"
			: `the first klp_enable_patch() of the kernel's own code: ${cold.jit.toFixed(1)} ms of processor time with V8's own threads, ${cold.unicorn.toFixed(1)} on unicorn; the whole insmod in its thread ${cold.thread.jit.toFixed(1)} and ${cold.thread.unicorn.toFixed(1)}`,
	);
	console.log("\nratios (less is better, but for redirect_unicorn_vs_jit)");
	for (const [name, value] of Object.entries(allRatios)) console.log(`${name.padEnd(32)} ${value.toFixed(2)}`);
	if (!samples.has("qemu-user")) console.log("qemu-user: not installed (apt-get install -y qemu-user)");
}
