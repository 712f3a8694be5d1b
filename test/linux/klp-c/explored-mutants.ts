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
const TWO = scenario(WORKER, "insmod: lp1, settle, insmod: lp2, settle");
const FORKS = scenario("worker: { calls: [funcA], fork: true }", "insmod: lp1, settle");
const REVERSED = scenario(
	"worker: { calls: [funcA] }, sleeper: { calls: [funcA], sleeps_in: funcA }",
	"run: { task: sleeper }, insmod: lp1, disable: lp1, wake: sleeper, settle",
);
const MODULE_GOES = scenario(WORKER, "insmod: other, race: [[insmod: lpm], [rmmod: other]], settle, insmod: other");
const MODULE_COMES = scenario(WORKER, "race: [[insmod: lpm], [insmod: other]], settle");
/** Scenarios that are explored to their end with the code as it is. */
export const complete: readonly string[] = [ONE, AND_BACK, TWO, FORKS];

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
		caught: "use-after-free",
	},
	{
		title: "a child does not take over what its parent has switched to since the fork began",
		edit: {
			file: TRANSITION,
			at: [/^void klp_copy_process\(/, /child->patch_state = current->patch_state;/],
			replace: ";",
		},
		scenario: FORKS,
		caught: "sudden-change",
	},
	{
		title: "a child keeps the flag that its parent had when the fork began",
		edit: {
			file: TRANSITION,
			at: [/^void klp_copy_process\(/, /clear_tsk_thread_flag\(child, TIF_PATCH_PENDING\);/],
			replace: ";",
		},
		// The parent loses its CPU in copy_process(), and is switched there.
		scenario: `${FORKS}preemption: full\n`,
		caught: "warn",
	},
	{
		title: "the stacks are not looked at",
		edit: { file: TRANSITION, at: [/^static int klp_check_stack_func\(/, /return -EAGAIN;/], replace: "return 0;" },
		scenario: REVERSED,
		caught: "switched-on-stack",
	},
	{
		title: "a task that runs is switched by another one",
		edit: { file: TRANSITION, at: [/^static int klp_check_and_switch_task\(/, /task_curr\(task\)/], replace: "0" },
		scenario: TWO,
		caught: "switched-on-stack",
	},
	{
		title: "a reversal does not wait for tasks that are about to switch",
		edit: {
			file: TRANSITION,
			at: [/^void klp_reverse_transition\(/, /klp_synchronize_transition\(\);/],
			replace: ";",
		},
		scenario: REVERSED,
		caught: "sudden-change",
	},
	{
		title: "removed functions are not waited for",
		edit: {
			file: TRANSITION,
			at: [
				/^static void klp_complete_transition\(/,
				/if \(klp_target_state == KLP_TRANSITION_UNPATCHED\) \{/,
				/klp_synchronize_transition\(\);/,
			],
			replace: ";",
		},
		scenario: scenario(WORKER, "insmod: lp1, settle, insmod: lp2, settle, disable: lp2, settle"),
		caught: "warn",
	},
	{
		title: "tasks get the flag before the functions are patched",
		edit: {
			file: CORE,
			at: [/^static int __klp_enable_patch\(/, /klp_init_transition\(patch, KLP_TRANSITION_PATCHED\);/],
			replace: "klp_init_transition(patch, KLP_TRANSITION_PATCHED); klp_start_transition();",
		},
		scenario: ONE,
		caught: "sudden-change",
	},
	{
		title: "the klp_ops is freed before ftrace has let go of it",
		edit: {
			file: PATCH,
			at: [/^static void klp_unpatch_func\(/, /WARN_ON\(unregister_ftrace_function\(&ops->fops\)\);/],
			replace: "kfree(ops); WARN_ON(unregister_ftrace_function(&ops->fops));",
		},
		scenario: AND_BACK,
		caught: "use-after-free",
	},
	{
		title: "a function is registered before it is on its func_stack",
		edit: {
			file: PATCH,
			at: [/^static int klp_patch_func\(/, /INIT_LIST_HEAD\(&ops->func_stack\);/, /list_add_rcu/],
			replace: "if (0) list_add_rcu",
		},
		scenario: ONE,
		caught: "warn",
	},
	{
		title: "klp_enable_patch() keeps klp_mutex",
		edit: {
			file: CORE,
			at: [/^int klp_enable_patch\(/, /ret = __klp_enable_patch/, /mutex_unlock\(&klp_mutex\);/],
			replace: ";",
		},
		scenario: ONE,
		caught: "stuck",
	},
	{
		title: "tasks are not given the state that they begin with",
		edit: {
			file: TRANSITION,
			at: [/^void klp_init_transition\(/, /task->patch_state = initial_state;/],
			replace: ";",
		},
		scenario: ONE,
		caught: "sudden-change",
	},
	{
		title: "a module that is not ready yet, or not any more, is patched with the patch",
		edit: { file: CORE, at: [/^static void klp_find_object_module\(/, /mod->klp_alive/], replace: "1" },
		scenario: MODULE_COMES,
		caught: "warn",
	},
	{
		title: "a module that goes still looks alive, after its part of the patches is taken off",
		edit: { file: CORE, at: [/^void klp_module_going\(/, /mod->klp_alive = false;/], replace: ";" },
		scenario: MODULE_GOES,
		caught: "warn",
	},
];
