/** Bugs planted in the core: each breaks what one would expect, and the explorer finds it. Unplanted, the same models are fine. */
import { describe, expect, test } from "vitest";
import type { Invariant } from "../../src/consistency/index.js";
import type { AdminStep, Model } from "../../src/explore/index.js";
import { KLP_TRANSITION_IDLE, type klp_func } from "../../src/linux/klp/index.js";
import type { Kernel } from "../../src/linux/lib/index.js";
import { coreOf } from "../support/machine.js";
import { exploreModel, modelOf, PATCHES } from "./support.js";

const worker = "tasks: { worker: { calls: [funcA] } }";
const MODELS = {
	enable: `${PATCHES}\n${worker}\nsteps: [{ insmod: lp1 }, settle, { insmod: lp2 }, settle]`,
	disable: `${PATCHES}\n${worker}\nsteps: [{ insmod: lp1 }, settle, { disable: lp1 }, settle, { rmmod: lp1 }]`,
	replace: `${PATCHES}\n${worker}\nsteps: [{ insmod: lp1 }, settle, { insmod: lp3 }, settle, { rmmod: lp1 }]`,
	reverse: `${PATCHES}\n${worker}\nsteps: [{ insmod: lp1 }, { reverse: lp1 }, settle]`,
	sleeper: `${PATCHES}\ntasks: { sleeper: { calls: [funcA], sleeps_in: funcA } }
steps: [{ run: { task: sleeper } }, { insmod: lp1 }, { wake: sleeper }, settle]`,
	fork: `${PATCHES}\ntasks: { worker: { calls: [funcA], fork: true } }\nsteps: [{ insmod: lp1 }, settle]`,
	module: `vmlinux: [asm/vmlinux/funcs.c]
modules: { other: { sources: [asm/vmlinux/twin.c] } }
livepatches:
  lp1: { sources: [asm/livepatches/lp1.c], objects: { vmlinux: { funcA: lp1_funcA }, other: { call_other_twin: lp1_funcA } } }
${worker}\nsteps: [{ race: [[{ insmod: lp1 }], [{ insmod: other }]] }, settle]`,
	moduleGoes: `vmlinux: [asm/vmlinux/funcs.c]
modules: { other: { sources: [asm/vmlinux/twin.c] } }
livepatches:
  lp1: { sources: [asm/livepatches/lp1.c], objects: { other: { call_other_twin: lp1_funcA } } }
tasks: { parked: { calls: [funcA], idle: true } }\nsteps: [{ insmod: other }, { race: [[{ insmod: lp1 }], [{ rmmod: other }]] }, settle, { insmod: other }]`,
	reversedFork: `cpus: 2\n${PATCHES}\ntasks: { sleeper: { calls: [funcA], sleeps_in: funcA }, parent: { calls: [funcB], fork: true } }
steps: [{ run: { task: sleeper } }, { insmod: lp1 }, reverse, settle]`,
	exit: `${PATCHES}\npreemption: full\nftrace_ops: { probe: { funcs: [funcA] } }
tasks: { worker: { calls: [funcB], exit: true, exit_calls: [funcA] } }
steps: [{ register: probe }, { unregister: probe }]`,
	idle: `cpus: 2\n${PATCHES}\ntasks: { parked: { calls: [funcA], idle: true } }\nsteps: [{ insmod: lp1 }, settle]`,
} as const;

function* nothing(): Kernel<void> {}

/** Runs kernel code and does something at each of its points. */
function* at<T>(code: Kernel<T>, look: () => void): Kernel<T> {
	for (;;) {
		const { done, value } = code.next();
		look();
		if (done) return value as T;
		yield value as Exclude<typeof value, T>;
	}
}

interface Mutant {
	readonly bug: string;
	readonly model: keyof typeof MODELS;
	readonly plant: (model: Model) => void;
	readonly breaks: readonly Invariant[];
}

/** The kernel's own method, bound. */
function own<T extends object, K extends keyof T>(object: T, name: K): T[K] {
	const method = Object.getPrototypeOf(object)[name] as (...args: unknown[]) => unknown;
	return method.bind(object) as T[K];
}

const klpOf = (model: Model) => coreOf(model.machine);
const set = (object: object, values: object) => void Object.assign(object, values);

const MUTANTS: readonly Mutant[] = [
	{
		bug: "the stack is not checked",
		model: "sleeper",
		plant: (model) => set(klpOf(model).transition, { klp_check_stack_func: () => false }),
		breaks: ["switched-on-stack"],
	},
	{
		bug: "only the innermost frame is checked",
		model: "sleeper",
		plant: (model) => {
			const { transition } = klpOf(model);
			const check = own(transition, "klp_check_stack_func");
			set(transition, {
				klp_check_stack_func: (func: klp_func, entries: number[]) => check(func, entries.slice(1, 2)),
			});
		},
		breaks: ["switched-on-stack"],
	},
	{
		bug: "tasks that cannot be switched count as switched",
		model: "sleeper",
		plant: (model) => {
			const { transition } = klpOf(model);
			const original = own(transition, "klp_try_switch_task");
			transition.klp_try_switch_task = function* (task) {
				yield* original(task);
				return true;
			};
		},
		breaks: ["sudden-change", "warn"],
	},
	{
		bug: "every transition is forced",
		model: "sleeper",
		plant: (model) => {
			const { transition } = klpOf(model);
			transition.klp_try_complete_transition = function* () {
				yield* transition.klp_force_transition();
				yield* own(transition, "klp_try_complete_transition")();
			};
		},
		breaks: ["switched-on-stack"],
	},
	{
		bug: "nobody waits for handlers before tasks become IDLE",
		model: "enable",
		plant: (model) => set(klpOf(model).transition, { klp_synchronize_transition: nothing }),
		breaks: ["warn"],
	},
	{
		bug: "the transition flag is cleared before entries are unlinked",
		model: "disable",
		plant: (model) => {
			const { design } = klpOf(model);
			set(klpOf(model), {
				design: {
					...design,
					*unpatch_invisible(klp, patch, target) {
						yield* design.clear_transition(klp, patch);
						yield* design.unpatch_invisible(klp, patch, target);
					},
				} satisfies typeof design,
			});
		},
		breaks: ["sudden-change"],
	},
	{
		bug: "entries are not marked as being in transition",
		model: "enable",
		plant: (model) => set(klpOf(model), { design: { ...klpOf(model).design, init_transition: nothing } }),
		breaks: ["sudden-change", "mixed-universe"],
	},
	{
		bug: "entries are marked before tasks have their initial state",
		model: "disable",
		plant: (model) => {
			const { transition, design } = klpOf(model);
			const original = own(transition, "klp_init_transition");
			transition.klp_init_transition = function* (patch, state) {
				yield* design.init_transition(klpOf(model), patch, state);
				yield* original(patch, state);
			};
		},
		breaks: ["warn"],
	},
	{
		bug: "tasks stay in their state when the transition is over",
		model: "enable",
		plant: (model) => {
			const { transition } = klpOf(model);
			const original = own(transition, "klp_complete_transition");
			const all = () => [...model.machine.sched.all()];
			transition.klp_complete_transition = function* () {
				const states = all().map((task) => task.patch_state);
				yield* at(original(), () => {
					for (const [i, task] of all().entries())
						if (task.patch_state === KLP_TRANSITION_IDLE) task.patch_state = states[i]!;
				});
			};
		},
		breaks: ["warn"],
	},
	{
		bug: "no nops are added for what is replaced",
		model: "replace",
		plant: (model) => set(klpOf(model), { design: { ...klpOf(model).design, needsNop: () => false } }),
		breaks: ["mixed-universe", "sudden-change"],
	},
	{
		bug: "what is replaced stays on func_stack",
		model: "replace",
		plant: (model) => set(klpOf(model), { klp_unpatch_replaced_patches: nothing }),
		breaks: ["sudden-change"],
	},
	{
		bug: "a patch is unlinked as soon as it is to be disabled",
		model: "disable",
		plant: (model) => {
			const { transition, patching } = klpOf(model);
			const original = own(transition, "klp_start_transition");
			transition.klp_start_transition = function* () {
				const patch = transition.klp_transition_patch!;
				if (transition.klp_target_state === 0) yield* patching.klp_unpatch_objects(patch);
				yield* original();
			};
		},
		breaks: ["sudden-change"],
	},
	{
		bug: "a child does not get its parent's state",
		model: "fork",
		plant: (model) => set(klpOf(model).transition, { klp_copy_process: () => {} }),
		breaks: ["sudden-change", "mixed-universe", "warn"],
	},
	{
		bug: "a module that comes is not patched",
		model: "module",
		plant: (model) => {
			const original = own(klpOf(model).patching, "klp_patch_object");
			klpOf(model).patching.klp_patch_object = function* (obj) {
				return obj.name === undefined ? yield* original(obj) : 0;
			};
		},
		breaks: ["lost-patch", "mixed-universe"],
	},
	{
		bug: "a module in use can be taken out",
		model: "enable",
		plant: (model) => {
			const { machine } = model;
			const original = own(machine.loader, "delete_module");
			machine.loader.delete_module = (name) => {
				machine.modules.get(name)!.refcount = 0;
				return original(name);
			};
			const { steps } = model.admins[0]!;
			(steps as AdminStep[]).splice(2, 2, {
				title: "rmmod lp1",
				mayFallAsleep: false,
				writesTasklist: false,
				outside: false,
				run: () => machine.loader.delete_module("lp1"),
			});
		},
		breaks: ["freed-text", "use-after-free", "sudden-change"],
	},
	{
		bug: "a trampoline is freed although tasks are on it",
		model: "disable",
		plant: ({ machine }) => {
			const original = own(machine.ftrace, "unregister_ftrace_function");
			machine.ftrace.unregister_ftrace_function = function* (ops) {
				const code = original(ops);
				for (;;) {
					const { done, value } = code.next();
					if (done) return value as number;
					// Whatever it waits for, it does not wait.
					yield typeof value === "object" && value.kind === "wait" ? "does not wait" : value;
				}
			};
		},
		breaks: ["freed-text", "use-after-free"],
	},
	{
		bug: "a module's memory is freed without a grace period",
		model: "disable",
		plant: ({ machine }) => {
			const original = own(machine.loader, "delete_module");
			machine.loader.delete_module = function* (name) {
				const mod = machine.modules.get(name)!;
				for (const func of mod.patch!.funcs()) func.freed = true;
				return yield* original(name);
			} as typeof original;
			const { transition } = coreOf(machine);
			transition.klp_synchronize_transition = nothing;
			const unregister = own(machine.ftrace, "unregister_ftrace_function");
			machine.ftrace.unregister_ftrace_function = function* (ops) {
				const code = unregister(ops);
				for (;;) {
					const { done, value } = code.next();
					if (done) return value as number;
					yield typeof value === "object" && value.kind === "wait" ? "does not wait" : value;
				}
			};
		},
		breaks: ["freed-text", "use-after-free", "warn"],
	},
	{
		bug: "a module that goes still looks alive, after its part of the patches is taken off",
		model: "moduleGoes",
		plant: (model) => {
			const { notifier } = klpOf(model);
			notifier.klp_module_going = function* (mod) {
				yield* own(notifier, "klp_module_going")(mod);
				mod.klp_alive = true;
			};
		},
		breaks: ["warn", "freed-text", "use-after-free"],
	},
	{
		bug: "a transition that did not complete is not tried again",
		model: "enable",
		plant: (model) => set(model.machine.workqueue, { schedule_delayed_work: () => {} }),
		breaks: ["stuck"],
	},
	{
		bug: "fork takes TIF_PATCH_PENDING over early, and patch_state late",
		model: "reversedFork",
		plant: (model) => {
			klpOf(model).transition.klp_copy_process = (parent, child) => {
				child.patch_state = parent.patch_state;
			};
		},
		breaks: ["warn", "stuck"],
	},
	{
		bug: "RCU tasks forgets tasks that have left the task list in do_exit()",
		model: "exit",
		plant: (model) => set(model.machine.sched, { exit_tasks_rcu: () => [] }),
		breaks: ["freed-text"],
	},
	{
		bug: "an idle CPU is not woken (wake_up_if_idle)",
		model: "idle",
		plant: (model) => set(model.machine.sched, { wake_up_if_idle: () => {} }),
		breaks: ["stuck"],
	},
	{
		bug: "a reversal does not clear the flags first, nor wait for those who have seen them",
		model: "reverse",
		plant: (model) => {
			const { transition } = klpOf(model);
			transition.klp_reverse_transition = function* () {
				const patch = transition.klp_transition_patch!;
				patch.enabled = !patch.enabled;
				transition.klp_target_state = 1 - transition.klp_target_state;
				yield "klp_reverse_transition: klp_target_state";
				yield* transition.klp_start_transition();
			};
		},
		breaks: ["warn", "sudden-change", "stuck"],
	},
	{
		bug: "the handler takes the newest entry, whatever state the task is in",
		model: "enable",
		plant: (model) => {
			const { design } = klpOf(model);
			set(klpOf(model), { design: { ...design, sees: () => true } satisfies typeof design });
		},
		breaks: ["sudden-change", "mixed-universe"],
	},
];

describe.each(Object.entries(MODELS))("the model '%s'", (_name, yaml) => {
	test("is complete while nothing is planted", async () => {
		const { result, violations } = await exploreModel(await modelOf(yaml));
		expect(violations.map(({ broken }) => broken)).toEqual([]);
		expect(result).toBe("complete");
	});
});

test("there are enough mutants", () => {
	expect(MUTANTS.length).toBeGreaterThanOrEqual(15);
	expect(new Set(MUTANTS.map(({ bug }) => bug)).size).toBe(MUTANTS.length);
});

test.each(MUTANTS)("$bug: found", async ({ model: name, plant, breaks }) => {
	const model = await modelOf(MODELS[name]);
	plant(model);
	const { result, violations } = await exploreModel(model);
	expect(result).toBe("violated");
	expect(breaks).toContain(violations[0]!.broken.invariant);
});
