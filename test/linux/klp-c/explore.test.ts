/** The kernel's own livepatch code, explored on machine code. */
import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { INVARIANTS } from "../../../src/consistency/index.js";
import type { Schedule, SearchOptions } from "../../../src/explore/index.js";
import { parseKernelCore } from "../../../src/linux/klp-c/index.js";
import { nodeHost } from "../../../src/node/index.js";
import { exploreScenario, parseScenario, replaySchedule } from "../../../src/scenario/index.js";
import { kernelCore } from "../../support/kernel-core.js";
import { LONG } from "../../support/sample.js";
import { KERNEL_CORE } from "../../support/skip.js";

const FILE = "scenarios/test.yaml";
/** One patch, and a task that calls what it patches. */
const ONE = (steps: string) => `title: t
cpus: 2
vmlinux: [asm/vmlinux/funcs.c]
livepatches: { lp1: { sources: [asm/livepatches/lp1.c], funcs: { funcA: lp1_funcA } } }
tasks: { worker: { calls: [funcA] } }
steps: ${steps}
`;
const LIMITS: SearchOptions = { budget: 100_000, invariants: new Set(INVARIANTS), all: false, reduction: true };

test("a transition is explored, in test:long to its end; what is shared is found", async ({ skip }) => {
	const core = await kernelCore(skip);
	const scenario = parseScenario(ONE("[insmod: lp1, settle]"), FILE);
	const found = await exploreScenario({
		scenario,
		machine: { host: nodeHost(FILE), core },
		...LIMITS,
		...(!LONG && { budget: 200 }),
	});
	expect(found).toMatchObject({ design: "mainline", core: core.info.release, judgement: { failures: [] } });
	const { result, states, points } = found.exploration;
	expect(result).toBe(LONG ? "complete" : "bounded");
	// As many states as the accesses of the C make; the transcription, which has fewer points, has 438.
	expect(states).toBeGreaterThan(LONG ? 500 : 199);
	// func_stack, klp_func.transition, klp_target_state, the task's patch_state and flags: memory, not variables by name.
	expect(points.length).toBeGreaterThanOrEqual(5);
	expect(points.length).toBeLessThan(20);
});

test("a schedule of one core is not made with another one of the same kernel", async ({ skip }) => {
	const core = await kernelCore(skip);
	const scenario = parseScenario(ONE("[insmod: lp1, settle]"), FILE);
	const host = nodeHost(FILE);
	const bytes = new Uint8Array(await readFile(KERNEL_CORE));
	const text = [..."stack_trace_save_tsk_reliable"].map((letter) => letter.charCodeAt(0));
	const at = bytes.findIndex((_, index) => text.every((code, n) => bytes[index + n] === code));
	// A name that nothing reads: any byte counts.
	bytes[bytes.indexOf(0, at) - 1]! ^= 1;
	const other = parseKernelCore(bytes, "other.klpcore");
	const schedule: Schedule = {
		...{ scenario: FILE, fingerprint: "", design: "mainline", invariant: "stuck", message: "", moves: [] },
		core: core.info.release,
		coreHash: core.hash(),
	};
	expect((await replaySchedule(scenario, schedule, { host, core })).moves).toEqual([]);
	const stale = { code: "SCHEDULE_STALE" };
	await expect(replaySchedule(scenario, schedule, { host, core: other })).rejects.toMatchObject(stale);
	await expect(replaySchedule(scenario, schedule, { host })).rejects.toMatchObject(stale);
	const { coreHash: _, ...older } = schedule;
	await expect(replaySchedule(scenario, older, { host, core: { ...core, hash: () => "" } })).resolves.toBeDefined();
});
