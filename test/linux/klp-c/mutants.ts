import type { Invariant } from "../../../src/consistency/index.js";
import type { SourceEdit } from "../../../tools/source-edits.js";

/** A one-line mistake in the kernel's livepatch code, and the scenario that notices it. */
export interface Mutant {
	readonly title: string;
	readonly edit: SourceEdit;
	readonly scenario: string;
	/** The invariant that it breaks; without it, what the scenario expects is not so. */
	readonly noticed?: Invariant;
}

const TRANSITION = "kernel/livepatch/transition.c";
const PATCH = "kernel/livepatch/patch.c";
const CORE = "kernel/livepatch/core.c";
const HYBRID = "scenarios/hybrid-lp1-lp2-lp3.yaml";

export const mutants: readonly Mutant[] = [
	{
		title: "a task switches though the function is on its stack",
		edit: { file: TRANSITION, at: [/^static int klp_check_stack_func\(/, /return -EAGAIN;/], replace: "return 0;" },
		scenario: HYBRID,
		noticed: "switched-on-stack",
	},
	{
		title: "the stacks of patched objects are not looked at",
		edit: { file: TRANSITION, at: [/^static int klp_check_stack\(/, /!obj->patched/], replace: "obj->patched" },
		scenario: HYBRID,
		noticed: "switched-on-stack",
	},
	{
		title: "functions of a new patch are not marked as in transition",
		edit: {
			file: TRANSITION,
			at: [/^void klp_init_transition\(/, /func->transition = true;/],
			replace: "func->transition = false;",
		},
		scenario: HYBRID,
		noticed: "sudden-change",
	},
	{
		title: "functions stay marked when the transition is complete",
		edit: {
			file: TRANSITION,
			at: [/^static void klp_complete_transition\(/, /func->transition = false;/],
			replace: ";",
		},
		scenario: HYBRID,
		noticed: "warn",
	},
	{
		title: "the handler confuses the two states",
		edit: {
			file: PATCH,
			at: [/klp_ftrace_handler\(/, /patch_state == KLP_TRANSITION_UNPATCHED/],
			replace: "patch_state == KLP_TRANSITION_PATCHED",
		},
		scenario: HYBRID,
		noticed: "mixed-universe",
	},
	{
		title: "a new function goes behind the older ones",
		edit: {
			file: PATCH,
			at: [/^static int klp_patch_func\(/, /\} else \{/, /list_add_rcu/],
			replace: "list_add_tail_rcu",
		},
		scenario: HYBRID,
		noticed: "lost-patch",
	},
	{
		title: "a task that switches keeps its flag",
		edit: {
			file: TRANSITION,
			at: [/^void klp_update_patch_state\(/, /if \(test_and_clear_tsk_thread_flag/],
			replace: "if (test_tsk_thread_flag",
		},
		scenario: HYBRID,
		noticed: "warn",
	},
	{
		title: "a task that switches does not take the target state",
		edit: {
			file: TRANSITION,
			at: [/^void klp_update_patch_state\(/, /READ_ONCE\(klp_target_state\)/],
			replace: "!READ_ONCE(klp_target_state)",
		},
		scenario: "scenarios/force.yaml",
	},
	{
		title: "tasks do not get the flag that tells them to switch",
		edit: {
			file: TRANSITION,
			at: [/^void klp_start_transition\(/, /set_tsk_thread_flag/],
			replace: "clear_tsk_thread_flag",
		},
		scenario: "scenarios/force.yaml",
	},
	{
		title: "reversing keeps the target state",
		edit: {
			file: TRANSITION,
			at: [/^void klp_reverse_transition\(/, /klp_target_state = !klp_target_state;/],
			replace: ";",
		},
		scenario: "scenarios/reverse.yaml",
	},
	{
		title: "force does not mark the replaced patches: their code can be freed under a task",
		edit: {
			file: TRANSITION,
			at: [/^void klp_force_transition\(/, /klp_for_each_patch/, /patch->forced = true;/],
			replace: ";",
		},
		scenario: "scenarios/force.yaml",
		noticed: "freed-text",
	},
	{
		title: "a second transition may begin while one runs",
		edit: { file: CORE, at: [/^static int __klp_enable_patch\(/, /if \(klp_transition_patch\)/], replace: "if (0)" },
		scenario: "scenarios/busy.yaml",
		noticed: "warn",
	},
	{
		title: "tasks are never signaled",
		edit: { file: TRANSITION, at: [/^void klp_try_complete_transition\(/, /klp_signals_cnt\+\+;/], replace: ";" },
		scenario: "scenarios/signals.yaml",
	},
	{
		title: "the idle task of a CPU that is offline does not switch",
		edit: {
			file: TRANSITION,
			at: [/^void klp_try_complete_transition\(/, /offline idle tasks/, /task->patch_state = klp_target_state;/],
			replace: "complete = false;",
		},
		scenario: "scenarios/cpu-hotplug.yaml",
	},
	{
		title: "a function in the middle of func_stack stays there when its patch is disabled",
		edit: {
			file: PATCH,
			at: [/^static void klp_unpatch_func\(/, /\} else \{/, /list_del_rcu\(&func->stack_node\);/],
			replace: ";",
		},
		scenario: "scenarios/disable-middle.yaml",
		noticed: "use-after-free",
	},
	{
		title: "a child keeps the patch_state that its parent had in the beginning of the fork",
		edit: {
			file: TRANSITION,
			at: [/^void klp_copy_process\(/, /child->patch_state = current->patch_state;/],
			replace: ";",
		},
		scenario: "scenarios/fork.yaml",
		noticed: "warn",
	},
	{
		title: "the last reference of a patch is given back twice",
		edit: {
			file: CORE,
			at: [/^static void klp_free_patch_finish\(/, /kobject_put\(&patch->kobj\);/],
			replace: "kobject_put(&patch->kobj); kobject_put(&patch->kobj);",
		},
		scenario: HYBRID,
		noticed: "warn",
	},
	{
		title: "a file of sysfs reads at NULL",
		edit: {
			file: CORE,
			at: [/^static ssize_t replace_show\(/, /patch = container_of\(kobj, struct klp_patch, kobj\);/],
			replace: "patch = NULL;",
		},
		scenario: HYBRID,
		noticed: "use-after-free",
	},
	{
		title: "replaced patches stay enabled",
		edit: {
			file: CORE,
			at: [/^void klp_unpatch_replaced_patches\(/, /klp_unpatch_objects\(old_patch\);/],
			replace: ";",
		},
		scenario: HYBRID,
		noticed: "lost-patch",
	},
	{
		title: "a byte behind a new klp_ops is written",
		edit: {
			file: PATCH,
			at: [/^static int klp_patch_func\(/, /ops->fops\.func = klp_ftrace_handler;/],
			replace: "ops->fops.func = klp_ftrace_handler; ((char *)ops)[sizeof(*ops)] = 0;",
		},
		scenario: HYBRID,
		noticed: "use-after-free",
	},
	{
		title: "the handler looks for the entry before the first one of func_stack",
		edit: {
			file: PATCH,
			at: [
				/^static void notrace klp_ftrace_handler\(/,
				/func = list_first_or_null_rcu\(&ops->func_stack, struct klp_func,/,
			],
			replace: "func = ((char *)ops)[-1] ? NULL : list_first_or_null_rcu(&ops->func_stack, struct klp_func,",
		},
		scenario: HYBRID,
		noticed: "use-after-free",
	},
];
