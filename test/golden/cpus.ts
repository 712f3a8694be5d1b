import { readdirSync, readFileSync } from "node:fs";
import { expect } from "vitest";
import { CPU_NAMES, nodeHost } from "../../src/node/index.js";
import { parseScenario, runScenario } from "../../src/scenario/index.js";

/** The scenario's events and report under a design, on one Cpu. */
async function run(file: string, cpu: string, design?: string) {
	const events: string[] = [];
	const scenario = parseScenario(readFileSync(file, "utf8"), file);
	const report = await runScenario(scenario, {
		...(design && { design }),
		cpu,
		host: nodeHost(file),
		onEvent: (event) => events.push(event),
	});
	return { report: { ...report, cpu: "any" }, events };
}

/** The same events in the same order, to the instruction, on every Cpu. */
export async function compareCpus(file: string, design?: string): Promise<void> {
	const [first, ...others] = await Promise.all(CPU_NAMES.map((cpu) => run(file, cpu, design)));
	expect(first!.events.length + first!.report.dmesg.length).toBeGreaterThan(20);
	for (const other of others) expect(other).toEqual(first);
}

/** The scenarios of a folder. */
export function scenariosIn(folder: string): string[] {
	return readdirSync(folder)
		.filter((name) => name.endsWith(".yaml"))
		.map((name) => `${folder}/${name}`);
}
