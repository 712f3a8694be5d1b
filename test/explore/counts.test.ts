/** Models so small that all their states can be counted by hand. */
import { expect, test } from "vitest";
import type { SearchOptions } from "../../src/explore/index.js";
import { coreOf } from "../support/machine.js";
import { exploreModel, modelOf, PATCHES } from "./support.js";

async function count(yaml: string, options: Partial<SearchOptions> = {}) {
	const { result, states, transitions, depth } = await exploreModel(await modelOf(yaml), options);
	expect(result).toBe("complete");
	return { states, transitions, depth };
}

test("a task whose functions no livepatch patches has one state", async () => {
	// The administrator: before the step, at its point, behind it: 3 states. From each the task goes into the kernel and comes
	// back to the same state; two of them have a move of the administrator, too.
	const yaml = "vmlinux: [asm/vmlinux/funcs.c]\ntasks: { worker: { calls: [funcA] } }\nsteps: [{ run: 1 }]";
	expect(await count(yaml)).toEqual({ states: 3, transitions: 3 + 2, depth: 2 });
});

test("a function that may be patched is entered, run and left", async () => {
	// The task: in user mode, at the entry of funcA, in its body, behind it: 4 states, each with one move. The administrator as
	// above.
	const yaml = `${PATCHES}\ntasks: { worker: { calls: [funcA] } }\nsteps: [{ run: 1 }]`;
	expect(await count(yaml)).toEqual({ states: 3 * 4, transitions: 3 * 4 + 2 * 4, depth: 3 + 2 });
});

test("two tasks, on as many CPUs as they like", async () => {
	// 4 * 4 states of the tasks. Without reduction the idle tasks of the three CPUs go round as well, back to the same state, but
	// not while both tasks (9 of 16) and the administrator (at its point) are on the CPUs.
	const yaml = `cpus: 3\n${PATCHES}\ntasks: { a: { calls: [funcA] }, b: { calls: [funcA] } }\nsteps: [{ run: 1 }]`;
	const states = 3 * 4 * 4;
	const transitions = states * (2 + 3) - 9 * 3 + 2 * 4 * 4;
	expect(await count(yaml, { reduction: false })).toEqual({ states, transitions, depth: 3 + 3 + 2 });
});

test("two tasks and an administrator on two CPUs: a task in the kernel is not taken off its CPU", async () => {
	// Before and behind the step all 16 states of the tasks. At its point, the administrator is on a CPU: 16 less the 9 with both
	// tasks in the kernel.
	const yaml = `cpus: 2\n${PATCHES}\ntasks: { a: { calls: [funcA] }, b: { calls: [funcA] } }\nsteps: [{ run: 1 }]`;
	const { states } = await count(yaml, { reduction: false });
	expect(states).toBe(16 + 7 + 16);
});

test("with reduction, one task of a group stands for all, and others for themselves", async () => {
	const tasks = "{ worker: { count: 3, calls: [funcA] }, other: { calls: [funcB] } }";
	const yaml = `${PATCHES}\ntasks: ${tasks}\nsteps: [{ run: 1 }]`;
	const { searches, states } = await exploreModel(await modelOf(yaml));
	expect(searches).toEqual([["worker/0"], ["other"]]);
	expect(states).toBe(2 * 12);
});

test("a budget makes the result bounded, never complete", async () => {
	const yaml = `${PATCHES}\ntasks: { worker: { calls: [funcA] } }\nsteps: [{ insmod: lp1 }, settle]`;
	const { result, states } = await exploreModel(await modelOf(yaml), { budget: 20 });
	expect(result).toBe("bounded");
	expect(states).toBeGreaterThanOrEqual(20);
	expect(states).toBeLessThan(30);
});

test("a sleeper without a waker is woken by a signal, if its sleep is interruptible", async () => {
	const sleeper = (more: string) => `${PATCHES}\ntasks: { s: { calls: [funcA], sleeps_in: funcA${more} } }
steps: [{ run: { task: s } }, { insmod: lp1 }, settle, { disable: lp1 }]`;
	const ends = async (yaml: string) => {
		const model = await modelOf(yaml);
		let disabled = false;
		const { steps } = model.admins[0]!;
		const { run } = steps.at(-1)!;
		Object.assign(steps.at(-1)!, {
			run: () => {
				disabled = true;
				return run();
			},
		});
		await exploreModel(model);
		return disabled;
	};
	expect(await ends(sleeper(", interruptible: true"))).toBe(true);
	expect(await ends(sleeper(""))).toBe(false);
});

test("the parts of a shared search visit together what one process visits", async () => {
	const yaml = `${PATCHES}\ntasks: { worker: { calls: [funcA] } }\nsteps: [{ insmod: lp1 }, settle]`;
	const whole = await exploreModel(await modelOf(yaml), { shard: { index: 0, count: 1 } });
	const parts = [];
	for (const index of [0, 1, 2]) parts.push(await exploreModel(await modelOf(yaml), { shard: { index, count: 3 } }));
	const union = new Set(parts.flatMap(({ visited }) => [...visited!.keys()]));
	expect(whole.visited!.size).toBe(whole.states);
	expect(union).toEqual(new Set(whole.visited!.keys()));
	for (const { states } of parts) expect(states).toBeLessThan(whole.states);
});

test("steps that change what is not saved are found out", async () => {
	const model = await modelOf(`${PATCHES}\ntasks: { worker: { calls: [funcA] } }\nsteps: [{ insmod: lp1 }, settle]`);
	const { patching } = coreOf(model.machine);
	const { klp_patch_func } = Object.getPrototypeOf(patching);
	let calls = 0;
	patching.klp_patch_func = function* (func) {
		if (calls++ % 2 === 1) yield "somewhere else";
		return yield* klp_patch_func.call(patching, func);
	};
	await expect(exploreModel(model)).rejects.toMatchObject({ code: "EXPLORE_NONDETERMINISM" });
});

test("a loop that counts in a register has a state for each turn", async () => {
	// funcD calls weigh() sixteen times: how often it still will is in a register.
	const lp = "lp1: { sources: [asm/livepatches/lp1.c], funcs: { weigh: lp1_funcA } }";
	const yaml = `vmlinux: [asm/vmlinux/funcs.c]\nlivepatches: { ${lp} }\ntasks: { worker: { calls: [funcD] } }\nsteps: [{ run: 1 }]`;
	const { result, states, depth } = await exploreModel(await modelOf(yaml));
	// Each turn: into weigh(), past its call site, and back. Then into the kernel, and out of it.
	expect([result, states, depth]).toEqual(["complete", 147, 3 * 16 + 2]);
});
