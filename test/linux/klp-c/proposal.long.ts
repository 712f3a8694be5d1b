/** A proposal for the kernel as a diff: the kernel's own code with it, judged by the scenario of the mail. */
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { nodeHost } from "../../../src/node/index.js";
import { parseScenario, runScenario } from "../../../src/scenario/index.js";
import { proposals } from "../../../tools/kernel-proposals.js";
import { PatchedCores } from "../../support/patched-core.js";

const FLAGSHIP = "scenarios/hybrid-lp1-lp2-lp3.yaml";
const cores = new PatchedCores();
beforeAll(() => cores.open());
afterAll(() => cores.close());

test("the RFC of January 2025, in C, breaks what the mail says", async ({ skip }) => {
	const core = await cores.build("rfc-2025", proposals["rfc-2025"]!, skip);
	const scenario = parseScenario(await readFile(FLAGSHIP, "utf8"), FLAGSHIP);
	const host = nodeHost(FLAGSHIP);
	const inC = await runScenario(scenario, { host, core });
	const inTypeScript = await runScenario(scenario, { host, design: "rfc-2025" });
	expect(inC.design).toBe("mainline with rfc-2025.patch");
	expect([inC.verdict, inC.failures]).toEqual(["violated", []]);
	const told = (report: typeof inC) => new Set(report.violations.map(({ invariant }) => invariant));
	expect(told(inC)).toEqual(told(inTypeScript));
	expect(told(inC)).toEqual(new Set(["mixed-universe", "sudden-change"]));
	// lp1 stays, as it wants; in the transition the nop hides it, and at its end everybody flips to it.
	const views = inC.steps.map(({ tasks }) => tasks["worker/0"]?.view);
	expect(views).toContainEqual({ funcA: "original", funcB: "lp3_funcB" });
	expect(views.at(-1)).toEqual({ funcA: "lp1_funcA", funcB: "lp3_funcB" });
	expect(inC.steps.at(-1)!.sysfs).toMatchObject({ "lp1/enabled": 1, "lp1/replaceable": 0, "lp3/replaceable": 1 });
});
