import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { nodeHost } from "../../../src/node/index.js";
import { parseScenario, runScenario } from "../../../src/scenario/index.js";
import { kernelCore } from "../../support/kernel-core.js";

const FLAGSHIP = "scenarios/hybrid-lp1-lp2-lp3.yaml";

describe.each(["jit", "unicorn"])("the compiled core on %s", (cpu) => {
	test("lp1, lp2, lp3 with replace: the views and messages of mainline", { timeout: 120_000 }, async ({ skip }) => {
		const core = await kernelCore(skip);
		const scenario = parseScenario(await readFile(FLAGSHIP, "utf8"), FLAGSHIP);
		const report = await runScenario(scenario, { host: nodeHost(FLAGSHIP), cpu, core });
		expect(report).toMatchObject({ design: "mainline", verdict: "consistent", failures: [], asExpected: true });
		expect(report.steps.at(-1)).toMatchObject({
			func_stacks: { funcB: ["lp3_funcB"] },
			sysfs: { "lp3/enabled": 1, "lp3/transition": 0, "lp3/replace": 1, "lp3/vmlinux/patched": 1 },
		});
		const livepatch = report.dmesg.filter((line) => line.startsWith("livepatch: ") && !line.includes("klp_try_"));
		expect(livepatch).toEqual(
			["lp1", "lp2", "lp3"].flatMap((name) => [
				`livepatch: enabling patch '${name}'`,
				`livepatch: '${name}': initializing patching transition`,
				`livepatch: '${name}': starting patching transition`,
				`livepatch: '${name}': completing patching transition`,
				`livepatch: '${name}': patching complete`,
			]),
		);
	});
});
