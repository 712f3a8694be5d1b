/** What is left out changes no verdict: each model with reduction and without. */
import { expect, test } from "vitest";
import type { Model } from "../../src/explore/index.js";
import type { Kernel } from "../../src/linux/lib/index.js";
import { coreOf } from "../support/machine.js";
import { sample } from "../support/sample.js";
import { exploreModel, modelOf, PATCHES } from "./support.js";

function* nothing(): Kernel<void> {}

const worker = "tasks: { worker: { calls: [funcA] } }";
const CASES: readonly (readonly [string, string, string, ((model: Model) => void) | undefined])[] = [
	["a patch comes", "mainline", `${worker}\nsteps: [{ insmod: lp1 }, settle]`, undefined],
	[
		"a patch comes and is reversed",
		"mainline",
		`${worker}\nsteps: [{ insmod: lp1 }, { reverse: lp1 }, settle]`,
		undefined,
	],
	[
		"handlers are not waited for",
		"mainline",
		`${worker}\nsteps: [{ insmod: lp1 }, settle]`,
		({ machine }) => void Object.assign(coreOf(machine).transition, { klp_synchronize_transition: nothing }),
	],
	[
		"the RFC, with a patch that stays",
		"rfc-2025",
		`${worker}\nsteps: [{ insmod: lp1 }, settle, { insmod: lp3 }, settle]`,
		undefined,
	],
	[
		"stacks are not checked",
		"mainline",
		"tasks: { sleeper: { calls: [funcA], sleeps_in: funcA } }\nsteps: [{ run: { task: sleeper } }, { insmod: lp1 }]",
		({ machine }) => void Object.assign(coreOf(machine).transition, { klp_check_stack_func: () => false }),
	],
];

// Each second case takes long.
test.each(sample(CASES, 2))("%s (%s)", async (_name, design, yaml, plant) => {
	const results = [];
	for (const reduction of [true, false]) {
		const model = await modelOf(`${PATCHES}\n${yaml}`, design);
		plant?.(model);
		results.push(await exploreModel(model, { reduction, budget: 1_000_000 }));
	}
	const [reduced, full] = results.map(({ result, violations }) => [
		result,
		violations.map(({ broken }) => broken.invariant),
	]);
	expect(reduced).toEqual(full);
	expect(results[0]!.states).toBeLessThan(results[1]!.states);
});
