/** Every scenario, under every design, on every Cpu: the same events in the same order, to the instruction. */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { NodeFileReader } from "../../src/cli/index.js";
import { CPU_NAMES } from "../../src/cpu/create.js";
import { designs } from "../../src/designs/index.js";
import { parseScenario } from "../../src/scenario/index.js";
import { runScenario } from "../../src/scenario/runner.js";

const files = readdirSync("scenarios").filter((name) => name.endsWith(".yaml"));

describe.each(files)("%s", (name) => {
	const file = `scenarios/${name}`;
	test.each(designs.map((design) => design.name))("%s", async (design) => {
		const runs = CPU_NAMES.map(async (cpu) => {
			const events: string[] = [];
			const scenario = parseScenario(readFileSync(file, "utf8"), file);
			const report = await runScenario(scenario, {
				design,
				cpu,
				files: new NodeFileReader(file),
				onEvent: (event) => events.push(event),
			});
			return { report: { ...report, cpu: "any" }, events };
		});
		const [first, ...others] = await Promise.all(runs);
		expect(first!.events.length).toBeGreaterThan(50);
		for (const other of others) expect(other).toEqual(first);
	});
});
