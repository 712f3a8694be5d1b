import type { Invariant } from "../../../src/consistency/index.js";
import type { SourceEdit } from "../../../tools/source-edits.js";

/** A one-line mistake in the kernel's livepatch code, a scenario, and the invariant that some schedule of it breaks. */
interface ExploredMutant {
	readonly title: string;
	readonly edit: SourceEdit;
	/** As YAML. */
	readonly scenario: string;
	readonly caught: Invariant;
}

const TRANSITION = "kernel/livepatch/transition.c";
const PATCH = "kernel/livepatch/patch.c";

const scenario = (tasks: string, steps: string) => `title: t
cpus: 2
vmlinux: [asm/vmlinux/funcs.c]
modules: { other: { sources: [asm/vmlinux/twin.c] } }
livepatches:
  lp1: { sources: [asm/livepatches/lp1.c], funcs: { funcA: lp1_funcA } }
  lp2: { sources: [asm/livepatches/lp2.c], funcs: { funcA: lp2_funcA } }
  lpm: { sources: [asm/livepatches/lp2.c], objects: { other: { call_other_twin: lp2_funcB } } }
tasks: { ${tasks} }
steps: [${steps}]
`;
const WORKER = "worker: { calls: [funcA] }";
const ONE = scenario(WORKER, "insmod: lp1, settle");
const AND_BACK = scenario(WORKER, "insmod: lp1, settle, disable: lp1, settle");
const TWO = scenario(WORKER, "insmod: lp1, settle, insmod: lp2, settle");

export const explored: readonly ExploredMutant[] = [
	{
		title: "functions of a new patch are not marked as in transition",
		edit: {
			file: TRANSITION,
			at: [/^void klp_init_transition\(/, /func->transition = true;/],
			replace: "func->transition = false;",
		},
		scenario: ONE,
		caught: "sudden-change",
	},
	{
		title: "a task that switches keeps its flag",
		edit: {
			file: TRANSITION,
			at: [/^void klp_update_patch_state\(/, /if \(test_and_clear_tsk_thread_flag/],
			replace: "if (test_tsk_thread_flag",
		},
		scenario: ONE,
		caught: "warn",
	},
	{
		title: "tasks become idle before handlers that see the functions in transition have ended",
		edit: {
			file: TRANSITION,
			at: [
				/^static void klp_complete_transition\(/,
				/if \(klp_target_state == KLP_TRANSITION_PATCHED\)$/,
				/klp_synchronize_transition\(\);/,
			],
			replace: ";",
		},
		scenario: ONE,
		caught: "warn",
	},
	{
		title: "the work of the transition keeps klp_mutex",
		edit: {
			file: TRANSITION,
			at: [/^static void klp_transition_work_fn\(/, /mutex_unlock\(&klp_mutex\);/],
			replace: ";",
		},
		scenario: AND_BACK,
		caught: "deadlock",
	},
	{
		title: "a new function goes behind the older ones",
		edit: {
			file: PATCH,
			at: [/^static int klp_patch_func\(/, /\} else \{/, /list_add_rcu/],
			replace: "list_add_tail_rcu",
		},
		scenario: TWO,
		caught: "lost-patch",
	},
];
