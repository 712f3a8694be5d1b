/**
 * docs/findings: what the explorer says with the smallest change that each page gives. The changes are made to klpemu's transcription of the
 * kernel's code, as those of tools/kernel-proposals.ts are to the kernel's own; the searches are complete.
 */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Invariant } from "../../src/consistency/index.js";
import type { Model } from "../../src/explore/index.js";
import { KLP_TRANSITION_UNPATCHED, klp_clear_relocs, type klp_func } from "../../src/linux/klp/index.js";
import { EAGAIN, EINVAL } from "../../src/linux/lib/index.js";
import { synchronize_rcu, synchronize_rcu_tasks } from "../../src/linux/sched/index.js";
import { nodeHost } from "../../src/node/index.js";
import { createModel, parseScenario } from "../../src/scenario/index.js";
import { compileModule, coreOf, createTestMachine } from "../support/machine.js";
import { exploreModel } from "./support.js";

const klpOf = (model: Model) => coreOf(model.machine);
const set = (object: object, values: object) => void Object.assign(object, values);

/** The kernel's own method, bound. */
function own<T extends object, K extends keyof T>(object: T, name: K): T[K] {
	const method = Object.getPrototypeOf(object)[name] as (...args: unknown[]) => unknown;
	return method.bind(object) as T[K];
}

const isIn = (entries: readonly number[], start: number, size: number) =>
	entries.some((entry) => entry >= start && entry < start + size);

/** A livepatch with relocations for a module that comes later, whose pre_patch callback returns `refuse`. */
const RELOCATED = {
	target: `
static long secret = 40;
long target_func(long x) { return secret + x; }
long set_secret(long x) { return secret = x; }
`,
	livepatch: `
#include <linux/livepatch.h>
extern long secret __asm__("\\".klp.sym.target.secret,1\\"");
static int refuse;
module_param(refuse, int, 0644);
static long new_target_func(long x) { return 1000 + secret; }
static int pre_patch(struct klp_object *obj) { return refuse; }
static struct klp_func funcs[] = { { .old_name = "target_func", .new_func = new_target_func }, { } };
static struct klp_object objs[] = { { .name = "target", .funcs = funcs, .callbacks = { .pre_patch = pre_patch } }, { } };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs };
static int lp_init(void) { return klp_enable_patch(&patch); }
static void lp_exit(void) { }
module_init(lp_init);
module_exit(lp_exit);
MODULE_INFO(livepatch, "Y");
`,
} as const;

interface Change {
	readonly finding: number;
	readonly does: string;
	readonly design?: string;
	readonly make: (model: Model) => void;
	/** What is found with it, by scenario of scenarios/; none: nothing. What is found without it is in docs/findings.md. */
	readonly leaves: Readonly<Record<string, readonly Invariant[]>>;
}

const CHANGES: readonly Change[] = [
	{
		finding: 1,
		does: "klp_check_stack_func() asks for the last entry",
		make(model) {
			const { transition } = klpOf(model);
			const check = own(transition, "klp_check_stack_func");
			const isLast = ({ stack_node }: klp_func) => stack_node.next.owner === undefined;
			set(transition, {
				klp_check_stack_func: (func: klp_func, entries: readonly number[]) =>
					transition.klp_target_state !== KLP_TRANSITION_UNPATCHED && isLast(func)
						? isIn(entries, func.old_func, func.old_size)
						: check(func, entries),
			});
		},
		leaves: {
			"family/bottom-reverse": [],
			"family/alias-reverse": [],
			"family/two-names": ["sudden-change", "mixed-universe"],
			"family/two-names-sleeper": ["sudden-change"],
			"family/two-names-reverse": ["sudden-change"],
			"family/one-address": ["sudden-change", "mixed-universe"],
			"family/disable-reverse": [],
		},
	},
	{
		finding: 2,
		does: "a stack with the original on it is not switched",
		make(model) {
			const { transition } = klpOf(model);
			const check = own(transition, "klp_check_stack_func");
			set(transition, {
				klp_check_stack_func: (func: klp_func, entries: readonly number[]) =>
					isIn(entries, func.old_func, func.old_size) || check(func, entries),
			});
		},
		leaves: { "family/preempted": [], "family/sleepers": [], "family/bottom-reverse": ["use-after-free"] },
	},
	{
		finding: 3,
		does: "two names of one address are refused within a livepatch",
		make(model) {
			const klp = klpOf(model);
			const init = own(klp, "klp_init_object_loaded");
			set(klp, {
				klp_init_object_loaded: (...[patch, obj]: Parameters<typeof init>) => {
					const ret = init(patch, obj);
					const addresses = obj.funcs.map(({ old_func }) => old_func);
					return ret === 0 && new Set(addresses).size < addresses.length ? -EINVAL : ret;
				},
			});
		},
		leaves: {
			"family/two-names": [],
			"family/two-names-sleeper": [],
			"family/two-names-reverse": [],
			"family/one-address": [],
			"family/alias-reverse": ["use-after-free"],
			"family/bottom-reverse": ["use-after-free"],
		},
	},
	{
		finding: 4,
		does: "a grace period before nops are freed",
		design: "rfc-2025",
		make(model) {
			const klp = klpOf(model);
			const discard = own(klp, "klp_discard_nops");
			set(klp, {
				*klp_discard_nops(...[patch]: Parameters<typeof discard>) {
					yield* klp.patching.klp_unpatch_objects_dynamic(patch);
					yield* synchronize_rcu(model.machine.sched, "klp_discard_nops");
					yield* discard(patch);
				},
			});
		},
		leaves: {
			"family/survivor-below": ["mixed-universe", "sudden-change"],
			"family/survivor-above": ["mixed-universe", "sudden-change"],
		},
	},
	{
		finding: 5,
		does: "replaceable is not written while a transition is open",
		design: "rfc-2025",
		make(model) {
			const klp = klpOf(model);
			const { attributes } = klp.design;
			const { replaceable } = attributes;
			const store = ((core, patch, value) =>
				core.transition.klp_transition_patch === undefined
					? replaceable!.store!(core, patch, value)
					: -EAGAIN) satisfies NonNullable<NonNullable<typeof replaceable>["store"]>;
			set(klp, { design: { ...klp.design, attributes: { ...attributes, replaceable: { ...replaceable, store } } } });
		},
		leaves: { "family/sysfs-writer": [], "family/sysfs-writer-up": [] },
	},
	{
		finding: 6,
		does: "force marks every livepatch",
		make: (model) => set(klpOf(model), { design: { ...klpOf(model).design, forceMarks: () => true } }),
		leaves: { "force-rmmod": ["switched-on-stack"] },
	},
	{
		finding: 8,
		does: "a grace period of RCU tasks before a livepatch's module may go",
		make(model) {
			const { workqueue } = klpOf(model).env;
			const schedule = own(workqueue, "schedule_work");
			const waits: typeof schedule = (work) => {
				if (!work.name.startsWith("klp_free_patch_work_fn")) return schedule(work);
				const { sched } = model.machine;
				return schedule({
					...work,
					*func() {
						yield* synchronize_rcu_tasks(sched, "klp_free_patch_finish");
						yield* work.func();
					},
				});
			};
			set(workqueue, { schedule_work: waits });
		},
		leaves: { "hunting/exit-replaced": ["warn"], "hunting/exit-in-function": ["warn"] },
	},
];

async function violated(name: string, design: string, make: (model: Model) => void): Promise<Invariant[]> {
	const file = `scenarios/${name}.yaml`;
	const model = await createModel(parseScenario(readFileSync(file, "utf8"), file), { host: nodeHost(file), design });
	make(model);
	const { result, violations } = await exploreModel(model, { all: true });
	expect(["complete", "violated"]).toContain(result);
	return violations.map(({ broken }) => broken.invariant);
}

describe.each(CHANGES)("finding $finding, $does", ({ design = "mainline", make, leaves }) => {
	test.each(Object.entries(leaves))("%s", async (name, invariants) => {
		expect((await violated(name, design, make)).sort()).toEqual([...invariants].sort());
	});
});

test("finding 7, relocations are cleared where a module is refused: it can be loaded at the next try", async () => {
	const machine = await createTestMachine({ kernel: true });
	try {
		const { notifier, patches } = { notifier: coreOf(machine.it).notifier, patches: coreOf(machine.it).klp_patches };
		const coming = own(notifier, "klp_module_coming");
		set(notifier, {
			*klp_module_coming(...[mod]: Parameters<typeof coming>) {
				const ret = yield* coming(mod);
				if (ret !== 0) for (const patch of patches) klp_clear_relocs(coreOf(machine.it), patch.mod, mod.name);
				return ret;
			},
		});
		const target = await compileModule("target", RELOCATED.target);
		machine.insmodC("lp", await compileModule("lp", RELOCATED.livepatch));
		machine.settle();
		expect(machine.it.shell.write("/sys/module/lp/parameters/refuse", "-19")).toBe(0);
		expect(machine.insmodC("target", target)).toBe(-19);
		expect(machine.it.shell.write("/sys/module/lp/parameters/refuse", "0")).toBe(0);
		expect(machine.insmodC("target", target)).toBe(0);
	} finally {
		machine.close();
	}
});
