/** The kernel functions that the core calls and that asm/kernel-env does not have in C, a file for each part of the kernel. */
export { CoreFtrace } from "./ftrace.js";
export { type Attribute, CoreKobjects } from "./kobjects.js";
export { CoreMemory } from "./memory.js";
export { moduleFunctions } from "./modules.js";
export { CoreScheduler } from "./tasks.js";
export { type Output, textFunctions } from "./text.js";
export { workFunctions } from "./works.js";

/** Functions of klpemu's own kernel that are the same for every layout of structs. */
export const SHARED: readonly string[] = [
	...["_printk", "__warn_printk", "sysfs_emit", "sscanf", "kfree"],
	...["mutex_lock", "mutex_unlock", "complete", "wait_for_completion"],
];

/** All kernel functions that a core may call, by the files here and SHARED. */
export const EXTERNALS: readonly string[] = [
	...SHARED,
	...[
		"__kmalloc_noprof",
		"__kmalloc_cache_noprof",
		"kstrdup",
		"__rcu_read_lock",
		"__rcu_read_unlock",
		"kvfree_call_rcu",
	],
	...["__dynamic_pr_debug", "__stack_chk_fail"],
	...["task_curr", "kick_process", "wake_up_state", "wake_up_if_idle", "stack_trace_save_tsk_reliable"],
	...["sched_dynamic_klp_enable", "sched_dynamic_klp_disable"],
	...["cpus_read_lock", "cpus_read_unlock", "schedule_on_each_cpu"],
	...["queue_work_on", "queue_delayed_work_on"],
	...["ftrace_location", "ftrace_set_filter_ip", "register_ftrace_function", "unregister_ftrace_function"],
	...["find_module", "try_module_get", "module_put", "apply_relocate_add", "clear_relocate_add"],
	...["kallsyms_lookup_size_offset", "kallsyms_on_each_match_symbol", "module_kallsyms_on_each_symbol"],
	...["kobject_init", "kobject_add", "kobject_create_and_add", "kobject_put"],
	// Called by none of 6.12; a patch may (tools/kernel-proposals.ts, finding-8).
	"synchronize_rcu_tasks",
];
