/** Every scenario, under every design, on every Cpu: the same events in the same order, to the instruction. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { designs } from "../../src/designs/index.js";
import { CPU_NAMES, nodeHost } from "../../src/node/index.js";
import { parseScenario, runScenario } from "../../src/scenario/index.js";
import { KERNEL_MODULES, NO_KERNEL_MODULES, skipBecause } from "../support/skip.js";

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

async function compare(file: string, design?: string): Promise<void> {
	const [first, ...others] = await Promise.all(CPU_NAMES.map((cpu) => run(file, cpu, design)));
	expect(first!.events.length + first!.report.dmesg.length).toBeGreaterThan(50);
	for (const other of others) expect(other).toEqual(first);
}

const scenarios = (folder: string) => readdirSync(folder).filter((name) => name.endsWith(".yaml"));

describe.each(scenarios("scenarios"))("%s", (name) => {
	test.each(designs.map((design) => design.name))("%s", (design) => compare(`scenarios/${name}`, design));
});

// What the explorer tries every schedule of, as one schedule.
describe.each(scenarios("scenarios/family"))("family/%s", (name) => {
	test.each(designs.map((design) => design.name))("%s", (design) => compare(`scenarios/family/${name}`, design));
});

describe("selftests", () => {
	test.for(scenarios("scenarios/selftests"))("%s", async (name, { skip }) => {
		if (!existsSync(KERNEL_MODULES)) skipBecause(skip, NO_KERNEL_MODULES);
		await compare(`scenarios/selftests/${name}`);
	});
});
