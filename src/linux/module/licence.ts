/** Names of MODULE_LICENSE() that license_is_gpl_compatible() accepts (include/linux/license.h). */
const GPL_COMPATIBLE: ReadonlySet<string> = new Set([
	...["GPL", "GPL v2", "GPL and additional rights"],
	...["Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"],
]);

/** Of the symbols that a machine offers to modules, those behind EXPORT_SYMBOL_GPL() (Module.symvers of a 6.12). */
const GPL_ONLY: ReadonlySet<string> = new Set([
	...["klp_enable_patch", "klp_get_state", "klp_get_prev_state"],
	...["klp_shadow_get", "klp_shadow_alloc", "klp_shadow_get_or_alloc", "klp_shadow_free", "klp_shadow_free_all"],
	...["register_ftrace_function", "unregister_ftrace_function", "ftrace_set_filter", "ftrace_set_filter_ip"],
	...["register_ftrace_direct", "unregister_ftrace_direct", "modify_ftrace_direct"],
	...["register_kprobe", "unregister_kprobe", "register_kretprobe", "unregister_kretprobe"],
	...["kernel_kobj", "kobject_create_and_add", "sysfs_create_file_ns", "sysfs_emit", "sysfs_emit_at"],
	...["sysfs_create_files", "sysfs_remove_files", "sysfs_create_group", "sysfs_create_groups", "sysfs_remove_group"],
	...["sysfs_remove_groups", "sysfs_notify", "__put_task_struct", "ktime_get_seconds", "gcd"],
	...["param_set_uint_minmax", "param_set_bool_enable_only", "param_ops_bool_enable_only"],
	...["mod_delayed_work_on", "alloc_workqueue", "destroy_workqueue", "timer_shutdown_sync", "ktime_get", "call_rcu"],
	...[
		"rcu_barrier",
		"flush_work",
		"cancel_work_sync",
		"synchronize_rcu",
		"kvfree_call_rcu",
		"__rcu_read_lock",
		"__rcu_read_unlock",
	],
	...["system_dfl_wq", "system_freezable_wq", "system_highpri_wq", "system_long_wq", "system_power_efficient_wq"],
	...["system_unbound_wq", "cpus_read_lock", "cpus_read_unlock", "kick_process", "console_printk", "nop_func"],
	...["static_key_count", "static_key_disable", "static_key_disable_cpuslocked", "static_key_enable"],
	...["static_key_enable_cpuslocked", "static_key_slow_dec", "static_key_slow_inc"],
	...["__static_call_return0", "__static_call_update", "arch_static_call_transform", "sprint_symbol"],
	...["atomic_notifier_chain_register", "atomic_notifier_chain_unregister", "atomic_notifier_call_chain"],
	...["blocking_notifier_chain_register", "blocking_notifier_chain_unregister", "blocking_notifier_call_chain"],
	...["raw_notifier_chain_register", "raw_notifier_chain_unregister", "raw_notifier_call_chain"],
	...["ktime_get_with_offset", "ktime_get_coarse_with_offset", "ktime_get_raw", "ktime_get_ts64"],
	...["ktime_get_real_seconds", "synchronize_rcu_expedited", "sysfs_remove_file_ns"],
	...["llist_add_batch", "llist_del_first", "llist_reverse_order"],
	...["kobject_init_and_add", "kset_create_and_add", "kobject_uevent", "kobject_uevent_env"],
	...["kobject_get_path", "kobj_sysfs_ops"],
	...["pcpu_alloc_noprof", "free_percpu"],
	...["idr_alloc", "idr_alloc_u32", "idr_find", "idr_remove"],
]);

/** A module with another licence is proprietary. */
export function license_is_gpl_compatible(license: string): boolean {
	return GPL_COMPATIBLE.has(license);
}

/** A proprietary module does not find the symbol. */
export function isGplOnly(symbol: string): boolean {
	return GPL_ONLY.has(symbol);
}
