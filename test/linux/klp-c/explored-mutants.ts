import type { Invariant } from "../../../src/consistency/index.js";
import type { SourceEdit } from "../../../tools/source-edits.js";

/** A one-line mistake in the kernel's livepatch code, a scenario, and the invariant that some schedule of it breaks. */
interface ExploredMutant {
	readonly title: string;
	readonly edit: SourceEdit;
	/** As YAML. Without the mistake its exploration is complete. */
	readonly scenario: string;
	readonly caught: Invariant;
}

const TRANSITION = "kernel/livepatch/transition.c";
const PATCH = "kernel/livepatch/patch.c";
const CORE = "kernel/livepatch/core.c";

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
const SLEEPER = scenario(
	"sleeper: { calls: [funcA], sleeps_in: funcA }",
	"run: 50, insmod: lp1, run: 50, wake: sleeper, settle",
);
const FORK = scenario("worker: { calls: [funcA], fork: true }", "insmod: lp1, settle");
const TWO = scenario(WORKER, "insmod: lp1, settle, insmod: lp2, settle");
const IDLE = "worker: { calls: [funcA], idle: true }";

export const explored: readonly ExploredMutant[] = [
	{
		title: "a task switches though the function is on its stack",
		edit: { file: TRANSITION, at: [/^static int klp_check_stack_func\(/, /return -EAGAIN;/], replace: "return 0;" },
		scenario: SLEEPER,
		caught: "switched-on-stack",
	},
	{
		title: "the stacks of patched objects are not looked at",
		edit: { file: TRANSITION, at: [/^static int klp_check_stack\(/, /!obj->patched/], replace: "obj->patched" },
		scenario: SLEEPER,
		caught: "switched-on-stack",
	},
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
		title: "the handler confuses the two states",
		edit: {
			file: PATCH,
			at: [/klp_ftrace_handler\(/, /patch_state == KLP_TRANSITION_UNPATCHED/],
			replace: "patch_state == KLP_TRANSITION_PATCHED",
		},
		scenario: ONE,
		caught: "mixed-universe",
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
		title: "a child keeps the patch_state that its parent had in the beginning of the fork",
		edit: {
			file: TRANSITION,
			at: [/^void klp_copy_process\(/, /child->patch_state = current->patch_state;/],
			replace: ";",
		},
		scenario: FORK,
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
		title: "functions are unmarked before handlers that see them on func_stack have ended",
		edit: {
			file: TRANSITION,
			at: [
				/^static void klp_complete_transition\(/,
				/klp_unpatch_objects\(klp_transition_patch\);/,
				/klp_synchronize_transition\(\);/,
			],
			replace: ";",
		},
		scenario: scenario(WORKER, "insmod: lp1, settle, insmod: lp2, settle, disable: lp2, settle"),
		caught: "sudden-change",
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
		title: "a module that is not alive yet, or no more, is patched as well",
		edit: { file: CORE, at: [/^static void klp_find_object_module\(/, /mod && mod->klp_alive/], replace: "mod" },
		scenario: scenario(IDLE, "race: [[insmod: lpm], [insmod: other]]"),
		caught: "warn",
	},
	{
		title: "a second transition may begin while one runs",
		edit: { file: CORE, at: [/^static int __klp_enable_patch\(/, /if \(klp_transition_patch\)/], replace: "if (0)" },
		scenario: scenario(WORKER, "race: [[insmod: lp1], [insmod: lp2]]"),
		caught: "warn",
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
