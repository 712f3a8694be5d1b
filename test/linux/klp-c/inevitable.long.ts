/** explore --core --inevitable: from which move on nothing helps, in the kernel's own code. */
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { INVARIANTS } from "../../../src/consistency/index.js";
import type { Outlook } from "../../../src/explore/index.js";
import type { KernelCore } from "../../../src/linux/klp-c/index.js";
import { nodeHost } from "../../../src/node/index.js";
import { exploreScenario, parseScenario } from "../../../src/scenario/index.js";
import { proposals } from "../../../tools/kernel-proposals.js";
import { kernelCore } from "../../support/kernel-core.js";
import { PatchedCores } from "../../support/patched-core.js";

const cores = new PatchedCores();
beforeAll(() => cores.open());
afterAll(() => cores.close());

async function outlookOf(file: string, core: KernelCore) {
	const scenario = parseScenario(await readFile(file, "utf8"), file);
	const limits = { budget: 500_000, invariants: new Set(INVARIANTS), all: false, reduction: true, outlook: true };
	const { exploration, schedules } = await exploreScenario({
		scenario,
		machine: { host: nodeHost(file), core },
		...limits,
	});
	const [violation] = exploration.violations;
	const outlook = violation!.outlook as Exclude<Outlook, { unknown: string }>;
	return { outlook, invariant: violation!.broken.invariant, length: schedules[0]!.moves.length };
}

test("a task in a cold part can be missed until the last move", async ({ skip }) => {
	const core = await kernelCore(skip);
	const { outlook, invariant, length } = await outlookOf("scenarios/family/cold-part.yaml", core);
	expect([invariant, outlook.after]).toEqual(["switched-on-stack", length]);
	expect(outlook.shares).toHaveLength(length + 1);
	expect(outlook.error).toBeLessThanOrEqual(1e-6);
	// The last moves are the task's way into the cold part: nothing else is as likely as all that is left.
	const [before, last] = outlook.shares.slice(-2);
	expect([outlook.shares[0]! < before!, before! < 1, last]).toEqual([true, true, 1]);
});

test("the RFC's change of the C breaks the flagship from its first move on, whatever follows", async ({ skip }) => {
	const core = await cores.build("rfc-2025", proposals["rfc-2025"]!, skip);
	const { outlook, length } = await outlookOf("scenarios/hybrid-lp1-lp2-lp3.yaml", core);
	expect([outlook.after, new Set(outlook.shares)]).toEqual([0, new Set([1])]);
	expect(outlook.shares).toHaveLength(length + 1);
});
