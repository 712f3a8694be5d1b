/** All scenarios: a position that a snapshot leads to is the machine of a run from the start; on Unicorn, and with the kernel's own core, too. */
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { Player } from "../../../src/node/gdb/index.js";
import { nodeHost } from "../../../src/node/index.js";
import { parseScenario, type RunScenarioOptions } from "../../../src/scenario/index.js";
import { kernelCore } from "../../support/kernel-core.js";
import { capturesOf, expectSame } from "./support.js";

const POSITIONS = 12;
const files = ["scenarios", "scenarios/family", "scenarios/selftests"]
	.flatMap((folder) => readdirSync(folder).map((name) => `${folder}/${name}`))
	.filter((file) => file.endsWith(".yaml"));

async function compare(file: string, more: Partial<RunScenarioOptions> = {}): Promise<void> {
	const scenario = parseScenario(readFileSync(file, "utf8"), file);
	const options = { host: nodeHost(file), ...more };
	const player = await Player.record(scenario, options);
	try {
		const last = player.history.length;
		const positions = Array.from({ length: POSITIONS }, (_, i) => Math.floor((last * i) / (POSITIONS - 1)));
		const expected = await capturesOf(scenario, options, positions);
		expect(expected.size).toBe(new Set(positions).size);
		for (const position of [...positions].reverse()) expectSame(await player.at(position), expected.get(position)!);
		for (const position of positions) expectSame(await player.at(position), expected.get(position)!);
	} finally {
		player.close();
	}
}

for (const file of files) test(file, () => compare(file));
test("on Unicorn", () => compare("scenarios/reverse.yaml", { cpu: "unicorn" }));
test("with the kernel's own core", async ({ skip }) => {
	await compare("scenarios/reverse.yaml", { core: await kernelCore(skip) });
});
