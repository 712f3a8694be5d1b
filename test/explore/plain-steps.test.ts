/** Steps of kernel code that explorations of a scenario under several designs have in common: each is made once, and nothing else changes. */
import { describe, expect, test } from "vitest";
import { INVARIANTS } from "../../src/consistency/index.js";
import { Common } from "../../src/explore/index.js";
import { nodeHost } from "../../src/node/index.js";
import { exploreScenario, parseScenario } from "../../src/scenario/index.js";
import { exploreTwo } from "./support.js";

const FILE = "scenarios/test.yaml";
/** As in hybrid-lp1-lp2-lp3.yaml: each design has its keys. */
const SCENARIO = parseScenario(
	`title: test
cpus: 2
vmlinux: [asm/vmlinux/funcs.c]
livepatches:
  lp1:
    sources: [asm/livepatches/lp1.c]
    replace: false
    replaceable: false
    replace_set: 1
    funcs: { funcA: lp1_funcA }
    designs:
      per-func-reject: { replace: false, funcs: { funcA: { replaceable: true } } }
      replace-tag-draft: { replace: 1 }
  lp2:
    sources: [asm/livepatches/lp2.c]
    replace: false
    replaceable: true
    replace_set: 2
    funcs: { funcA: lp2_funcA, funcB: lp2_funcB }
    designs:
      per-func-reject: { replace: false, funcs: { funcA: { replaceable: true }, funcB: { replaceable: true } } }
      replace-tag-draft: { replace: 2 }
  lp3:
    sources: [asm/livepatches/lp3.c]
    replace: true
    replaceable: true
    replace_set: 2
    funcs: { funcB: lp3_funcB }
    designs:
      per-func-reject: { replace: true, funcs: { funcB: { replaceable: true } } }
      replace-tag-draft: { replace: 2 }
tasks: { worker: { calls: [funcA, funcB] } }
steps: [{ insmod: lp1 }, settle, { insmod: lp2 }, settle, { insmod: lp3 }, settle]
`,
	FILE,
);

/** What the exploration finds, how many steps it needs, and how many of them were made before. */
async function explored(design: string, common?: Common, scenario = SCENARIO) {
	const before = common?.steps.taken ?? 0;
	const { exploration, schedules, steps } = await exploreScenario({
		...{ scenario, machine: { host: nodeHost(FILE), design }, budget: 300_000, common },
		...{ invariants: new Set(INVARIANTS), all: true, reduction: true },
	});
	const { executed, bytes: _, ...found } = exploration;
	return {
		found: { ...found, schedules, steps },
		needed: executed.kernel,
		taken: (common?.steps.taken ?? 0) - before,
	};
}

describe("designs", () => {
	test("with the same rules make no step a second time but those that ask what differs, and find the same", async () => {
		const second = await exploreTwo(explored);
		expect(second.taken).toBeGreaterThan(0.8 * second.needed);
		expect(second.taken).toBeLessThan(second.needed);
	});

	test("with other answers find what they find alone", async () => {
		const common = new Common();
		for (const design of [
			"mainline",
			"rfc-2025",
			"replace-tag-draft",
			"conflict-replace",
			"universe",
			"replace-set-v1",
		]) {
			expect({ design, ...(await explored(design, common)).found }).toEqual({
				design,
				...(await explored(design)).found,
			});
		}
	});
});

test("a field that a step changes is a part of what the next ones depend on", async () => {
	// Under rfc-2025 the file exists, and what is written decides whether lp3 replaces lp1.
	const yaml = (value: number) => `title: test
cpus: 2
vmlinux: [asm/vmlinux/funcs.c]
livepatches:
  lp1: { sources: [asm/livepatches/lp1.c], replaceable: true, funcs: { funcA: lp1_funcA } }
  lp3: { sources: [asm/livepatches/lp3.c], replace: true, funcs: { funcB: lp3_funcB } }
steps:
  - insmod: lp1
  - settle
  - { echo: { path: lp1/replaceable, value: ${value} } }
  - insmod: lp3
  - settle
`;
	const of = async (value: number, common: Common) =>
		(await explored("rfc-2025", common, parseScenario(yaml(value), FILE))).found;
	const common = new Common();
	const [stays, goes] = [await of(0, common), await of(1, common)];
	expect([stays, goes]).toEqual([await of(0, new Common()), await of(1, new Common())]);
	expect(stays).not.toEqual(goes);
});
