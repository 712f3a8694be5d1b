/** Explorations of small scenarios that tests write down themselves. */

import { INVARIANTS } from "../../src/consistency/index.js";
import { type Exploration, explore, type Model, type SearchOptions } from "../../src/explore/index.js";
import { nodeHost } from "../../src/node/index.js";
import { createModel, parseScenario } from "../../src/scenario/index.js";

const FILE = "scenarios/test.yaml";

/** What most of these scenarios have in common, as YAML. */
export const PATCHES = `
vmlinux: [asm/vmlinux/funcs.c]
livepatches:
  lp1: { sources: [asm/livepatches/lp1.c], funcs: { funcA: lp1_funcA } }
  lp2: { sources: [asm/livepatches/lp2.c], funcs: { funcA: lp2_funcA, funcB: lp2_funcB } }
  lp3: { sources: [asm/livepatches/lp3.c], replace: true, funcs: { funcB: lp3_funcB } }
`;

export function modelOf(yaml: string, design = "mainline"): Promise<Model> {
	const scenario = parseScenario(`title: test\n${yaml}`, FILE);
	return createModel(scenario, { host: nodeHost(FILE), design });
}

export async function exploreModel(model: Model, options: Partial<SearchOptions> = {}): Promise<Exploration> {
	try {
		const limits = { budget: 300_000, invariants: new Set(INVARIANTS), all: false, reduction: true };
		return await explore(model, { ...limits, ...options });
	} finally {
		model.machine.close();
	}
}
