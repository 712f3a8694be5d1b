/** Explorations of small scenarios that tests write down themselves. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { INVARIANTS } from "../../src/consistency/index.js";
import { Common, type Exploration, explore, type Model, type SearchOptions } from "../../src/explore/index.js";
import { nodeHost } from "../../src/node/index.js";
import {
	createModel,
	type ExploredScenario,
	exploreScenario,
	parseScenario,
	type Scenario,
} from "../../src/scenario/index.js";

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
		return await explore(model, { ...limits(300_000), ...options });
	} finally {
		model.machine.close();
	}
}

/** What a search of a test may do, if the test does not say more. */
export const limits = (budget: number) => ({ budget, invariants: new Set(INVARIANTS), all: false, reduction: true });

/** A folder for scenarios with sources of their own. */
export class OwnSources {
	readonly #folder = mkdtempSync(join(tmpdir(), "klpemu-test-"));
	readonly machine = { host: nodeHost(join(this.#folder, "s.yaml")), design: "mainline" };

	/** `yaml`: the scenario without its title and CPUs. `sources`: texts by name. */
	async explore(
		yaml: string,
		sources: Readonly<Record<string, string>>,
		budget: number,
		options: Partial<SearchOptions> = {},
	): Promise<ExploredScenario & { readonly scenario: Scenario }> {
		for (const [name, text] of Object.entries(sources)) writeFileSync(join(this.#folder, name), text);
		const scenario = parseScenario(`title: t\ncpus: 2\n${yaml}`, join(this.#folder, "s.yaml"));
		return { scenario, ...(await exploreScenario({ scenario, machine: this.machine, ...limits(budget), ...options })) };
	}

	close(): void {
		rmSync(this.#folder, { recursive: true });
	}
}

/** Explores under two designs that are alike, one after the other: each finds what it finds alone. Returns the second exploration. */
export async function exploreTwo<T extends { readonly found: unknown }>(
	explored: (design: string, common?: Common) => Promise<T>,
): Promise<T> {
	const common = new Common();
	const first = await explored("mainline", common);
	const second = await explored("per-func-reject", common);
	expect([first.found, second.found]).toEqual([
		(await explored("mainline")).found,
		(await explored("per-func-reject")).found,
	]);
	return second;
}
