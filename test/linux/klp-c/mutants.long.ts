/** One-line mistakes in the kernel's own livepatch code: each is noticed by a scenario that holds without it. */
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { INFO_SECTION, type KernelCore } from "../../../src/linux/klp-c/index.js";
import { nodeHost, sha256 } from "../../../src/node/index.js";
import { expectedVerdict, parseScenario, type RunScenarioOptions, runScenario } from "../../../src/scenario/index.js";
import { kernelCore } from "../../support/kernel-core.js";
import { PatchedCores } from "../../support/patched-core.js";
import { mutants } from "./mutants.js";

const cores = new PatchedCores();
beforeAll(() => cores.open());
afterAll(() => cores.close());

async function run(file: string, core: KernelCore) {
	const scenario = parseScenario(await readFile(file, "utf8"), file);
	const options: RunScenarioOptions = { host: nodeHost(file), core };
	const { violations, failures, verdict } = await runScenario(scenario, options);
	return { verdict, failures: failures.length, invariants: [...new Set(violations.map(({ invariant }) => invariant))] };
}

for (const file of new Set(mutants.map(({ scenario }) => scenario))) {
	test(`${file} holds without a mistake`, async ({ skip }) => {
		const scenario = parseScenario(await readFile(file, "utf8"), file);
		const { verdict, failures } = await run(file, await kernelCore(skip));
		expect([failures, verdict]).toEqual([0, expectedVerdict(scenario, "mainline")]);
	});
}

for (const { title, edit, scenario, noticed } of mutants) {
	test(title, async ({ skip }) => {
		const core = await cores.build("mutant", [edit], skip);
		const { failures, invariants } = await run(scenario, core);
		if (noticed === undefined) expect(failures).toBeGreaterThan(0);
		else expect(invariants).toContain(noticed);
	});
}

test("a core that was compiled in part has what one has that was compiled as a whole", async ({ skip }) => {
	// A space that is no change of the code.
	const edit = { file: "kernel/livepatch/transition.c", at: [/^static void klp_complete_transition\(/, /^\}/] };
	const part = await cores.build("same", [{ ...edit, replace: "} " }], skip);
	const contents = ({ object }: KernelCore) =>
		object.sections.filter(({ name }) => name !== INFO_SECTION).map(({ name, data }) => [name, sha256(data)]);
	expect(contents(part)).toEqual(contents(await kernelCore(skip)));
});
