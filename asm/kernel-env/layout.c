// SPDX-License-Identifier: GPL-2.0-only
/*
 * The layout of this kernel, as facts: offsets of fields, sizes of types, values of constants. One line an entry, in the groups
 * below; the engine reads them with KernelLayout (src/linux/lib/kernel-layout.ts). An entry that some releases or configurations do not
 * have stands in an #if.
 */
#include <linux/bug.h>
#include <linux/dynamic_debug.h>
#include <linux/ftrace.h>
#include <linux/jiffies.h>
#include <linux/jump_label.h>
#include <linux/kernel.h>
#include <linux/kobject.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/static_call.h>
#include <linux/trace_recursion.h>
#include <linux/version.h>
#include <linux/workqueue.h>
#include <asm/alternative.h>
#include <asm/extable.h>
#include <asm/orc_types.h>
#include <asm/ptrace.h>
#include "patch.h"

struct klpemu_layout_entry {
	char name[56];
	u64 value;
};

#define ENTRY(string, number) { string, (u64)(number) + BUILD_BUG_ON_ZERO(sizeof(string) > 56) }
/* "task_struct.patch_state": the field's offset. */
#define FIELD(type, field) ENTRY(#type "." #field, offsetof(struct type, field))
/* "sizeof(struct module)" */
#define SIZE(type) ENTRY("sizeof(" #type ")", sizeof(type))
/* "TIF_PATCH_PENDING"; by value, so that an enumerator is as good as a macro. */
#define CONST(name) { #name, (u64)(name) + BUILD_BUG_ON_ZERO(sizeof(#name) > 56) }

#define SINCE(major, minor) (LINUX_VERSION_CODE >= KERNEL_VERSION(major, minor, 0))

static const struct klpemu_layout_entry layout[] __used __section(".klpemu.layout") = {
	/* The kernel */
	CONST(LINUX_VERSION_CODE), CONST(HZ), CONST(NR_CPUS), CONST(PAGE_SIZE), CONST(THREAD_SIZE),
	CONST(KSYM_NAME_LEN), CONST(MODULE_NAME_LEN),

	/* Tasks */
	SIZE(struct task_struct),
	FIELD(task_struct, thread_info),
	ENTRY("task_struct.thread_info.flags", offsetof(struct task_struct, thread_info) + offsetof(struct thread_info, flags)),
	FIELD(task_struct, __state),
	FIELD(task_struct, stack),
	FIELD(task_struct, flags),
	FIELD(task_struct, on_cpu),
	FIELD(task_struct, on_rq),
	FIELD(task_struct, tasks),
	FIELD(task_struct, exit_state),
	FIELD(task_struct, pid),
	FIELD(task_struct, tgid),
	FIELD(task_struct, real_parent),
	FIELD(task_struct, parent),
	FIELD(task_struct, group_leader),
	FIELD(task_struct, thread_node),
	FIELD(task_struct, comm),
	FIELD(task_struct, signal),
	FIELD(task_struct, pi_lock),
	FIELD(task_struct, trace_recursion),
	FIELD(task_struct, patch_state),
#ifdef CONFIG_STACKPROTECTOR
	FIELD(task_struct, stack_canary),
#endif
	SIZE(struct signal_struct),
	FIELD(signal_struct, nr_threads),
	FIELD(signal_struct, thread_head),
	CONST(TASK_COMM_LEN), CONST(TASK_RUNNING), CONST(TASK_INTERRUPTIBLE), CONST(TASK_UNINTERRUPTIBLE),
	CONST(TASK_DEAD), CONST(TASK_NEW), CONST(EXIT_ZOMBIE), CONST(EXIT_DEAD),
#ifdef TASK_FREEZABLE
	CONST(TASK_FREEZABLE),
#endif
	CONST(PF_KTHREAD), CONST(PF_IDLE), CONST(PF_EXITING), CONST(PF_WQ_WORKER),
	CONST(TIF_PATCH_PENDING), CONST(TIF_SIGPENDING), CONST(TIF_NEED_RESCHED), CONST(TIF_NOTIFY_SIGNAL),
	CONST(TRACE_FTRACE_BIT), CONST(TRACE_INTERNAL_BIT),

	/* CPUs */
	CONST(PREEMPT_NEED_RESCHED),
	SIZE(struct cpumask),
#if SINCE(6, 2) && !SINCE(6, 15)
	SIZE(struct pcpu_hot),
	FIELD(pcpu_hot, current_task),
	FIELD(pcpu_hot, preempt_count),
#ifdef CONFIG_MITIGATION_CALL_DEPTH_TRACKING
	FIELD(pcpu_hot, call_depth),
#endif
#endif
#ifdef CONFIG_STACKPROTECTOR
#if !SINCE(6, 15)
	FIELD(fixed_percpu_data, stack_canary),
#endif
#endif

	/* Lists, locks, objects of the driver model */
	SIZE(struct list_head), FIELD(list_head, next), FIELD(list_head, prev),
	SIZE(struct hlist_head), SIZE(struct hlist_node), FIELD(hlist_node, next), FIELD(hlist_node, pprev),
	SIZE(struct mutex),
	FIELD(mutex, owner),
	SIZE(raw_spinlock_t), SIZE(rwlock_t),
	SIZE(struct swait_queue_head),
	SIZE(struct completion), FIELD(completion, done), FIELD(completion, wait),
	SIZE(struct work_struct), FIELD(work_struct, data), FIELD(work_struct, entry), FIELD(work_struct, func),
	SIZE(struct delayed_work), FIELD(delayed_work, work), FIELD(delayed_work, timer), FIELD(delayed_work, wq),
	FIELD(delayed_work, cpu),
	SIZE(struct timer_list), FIELD(timer_list, expires), FIELD(timer_list, function),
	SIZE(struct callback_head), FIELD(callback_head, next), FIELD(callback_head, func),
	SIZE(struct kobject),
	FIELD(kobject, name), FIELD(kobject, entry), FIELD(kobject, parent), FIELD(kobject, kset), FIELD(kobject, ktype),
	FIELD(kobject, sd), FIELD(kobject, kref),
	SIZE(struct kobj_type),
	FIELD(kobj_type, release), FIELD(kobj_type, sysfs_ops), FIELD(kobj_type, default_groups),
	SIZE(struct attribute_group),
	FIELD(attribute_group, name), FIELD(attribute_group, is_visible), FIELD(attribute_group, attrs),
	SIZE(struct attribute), FIELD(attribute, name), FIELD(attribute, mode),
	SIZE(struct kobj_attribute), FIELD(kobj_attribute, attr), FIELD(kobj_attribute, show), FIELD(kobj_attribute, store),
	SIZE(struct sysfs_ops), FIELD(sysfs_ops, show), FIELD(sysfs_ops, store),

	/* Memory */
	CONST(GFP_KERNEL), CONST(GFP_ATOMIC), CONST(__GFP_ZERO), CONST(NR_KMALLOC_TYPES),
	SIZE(kmalloc_caches),

	/* Modules */
	SIZE(struct module),
	FIELD(module, state), FIELD(module, list), FIELD(module, name), FIELD(module, mkobj), FIELD(module, mkobj.kobj),
	FIELD(module, mkobj.mod), FIELD(module, version), FIELD(module, srcversion),
	FIELD(module, kp), FIELD(module, num_kp), FIELD(module, syms), FIELD(module, num_syms), FIELD(module, gpl_syms),
	FIELD(module, num_gpl_syms), FIELD(module, num_exentries), FIELD(module, extable), FIELD(module, init),
	FIELD(module, taints), FIELD(module, args),
#if SINCE(6, 4)
	SIZE(struct module_memory), FIELD(module_memory, base), FIELD(module_memory, size),
	FIELD(module, mem), CONST(MOD_MEM_NUM_TYPES), CONST(MOD_TEXT), CONST(MOD_DATA), CONST(MOD_RODATA),
	CONST(MOD_RO_AFTER_INIT), CONST(MOD_INIT_TEXT), CONST(MOD_INIT_DATA), CONST(MOD_INIT_RODATA),
#else
	FIELD(module, core_layout), FIELD(module, init_layout),
#endif
#ifdef CONFIG_GENERIC_BUG
	FIELD(module, num_bugs), FIELD(module, bug_list), FIELD(module, bug_table),
#endif
#ifdef CONFIG_KALLSYMS
	FIELD(module, kallsyms), FIELD(module, core_kallsyms),
#endif
#ifdef CONFIG_SMP
	FIELD(module, percpu), FIELD(module, percpu_size),
#endif
#ifdef CONFIG_JUMP_LABEL
	FIELD(module, jump_entries), FIELD(module, num_jump_entries),
#endif
#ifdef CONFIG_FTRACE_MCOUNT_RECORD
	FIELD(module, num_ftrace_callsites), FIELD(module, ftrace_callsites),
#endif
#ifdef CONFIG_HAVE_STATIC_CALL_INLINE
	FIELD(module, num_static_call_sites), FIELD(module, static_call_sites),
#endif
#ifdef CONFIG_UNWINDER_ORC
	FIELD(module, arch.num_orcs), FIELD(module, arch.orc_unwind_ip), FIELD(module, arch.orc_unwind),
#endif
	FIELD(module, klp), FIELD(module, klp_alive), FIELD(module, klp_info),
#ifdef CONFIG_MODULE_UNLOAD
	FIELD(module, source_list), FIELD(module, target_list), FIELD(module, exit), FIELD(module, refcnt),
#endif
	CONST(MODULE_STATE_LIVE), CONST(MODULE_STATE_COMING), CONST(MODULE_STATE_GOING), CONST(MODULE_STATE_UNFORMED),
	SIZE(struct klp_modinfo),
	FIELD(klp_modinfo, hdr), FIELD(klp_modinfo, sechdrs), FIELD(klp_modinfo, secstrings), FIELD(klp_modinfo, symndx),
	SIZE(struct kernel_param),
	FIELD(kernel_param, name), FIELD(kernel_param, ops), FIELD(kernel_param, perm), FIELD(kernel_param, level),
	FIELD(kernel_param, flags), FIELD(kernel_param, arg),
	SIZE(struct kernel_param_ops), FIELD(kernel_param_ops, set), FIELD(kernel_param_ops, get),
	CONST(TAINT_WARN), CONST(TAINT_LIVEPATCH), CONST(TAINT_OOT_MODULE), CONST(TAINT_PROPRIETARY_MODULE),

	/* Livepatches */
	SIZE(struct klp_patch),
	FIELD(klp_patch, mod), FIELD(klp_patch, objs), FIELD(klp_patch, states), FIELD(klp_patch, replace),
	FIELD(klp_patch, list), FIELD(klp_patch, kobj), FIELD(klp_patch, obj_list), FIELD(klp_patch, enabled),
	FIELD(klp_patch, forced), FIELD(klp_patch, free_work), FIELD(klp_patch, finish),
	SIZE(struct klp_object),
	FIELD(klp_object, name), FIELD(klp_object, funcs), FIELD(klp_object, callbacks),
	FIELD(klp_object, kobj), FIELD(klp_object, func_list), FIELD(klp_object, node), FIELD(klp_object, mod),
	FIELD(klp_object, dynamic), FIELD(klp_object, patched),
	SIZE(struct klp_func),
	FIELD(klp_func, old_name), FIELD(klp_func, new_func), FIELD(klp_func, old_sympos), FIELD(klp_func, old_func),
	FIELD(klp_func, kobj), FIELD(klp_func, node), FIELD(klp_func, stack_node), FIELD(klp_func, old_size),
	FIELD(klp_func, new_size), FIELD(klp_func, nop), FIELD(klp_func, patched), FIELD(klp_func, transition),
	SIZE(struct klp_callbacks),
	FIELD(klp_callbacks, pre_patch), FIELD(klp_callbacks, post_patch), FIELD(klp_callbacks, pre_unpatch),
	FIELD(klp_callbacks, post_unpatch), FIELD(klp_callbacks, post_unpatch_enabled),
	SIZE(struct klp_state), FIELD(klp_state, id), FIELD(klp_state, version), FIELD(klp_state, data),
	SIZE(struct klp_ops), FIELD(klp_ops, node), FIELD(klp_ops, func_stack), FIELD(klp_ops, fops),
#ifdef KLP_TRANSITION_IDLE
	CONST(KLP_TRANSITION_IDLE), CONST(KLP_TRANSITION_UNPATCHED), CONST(KLP_TRANSITION_PATCHED),
#else
	ENTRY("KLP_TRANSITION_IDLE", KLP_UNDEFINED), ENTRY("KLP_TRANSITION_UNPATCHED", KLP_UNPATCHED),
	ENTRY("KLP_TRANSITION_PATCHED", KLP_PATCHED),
#endif

	/* ftrace */
	SIZE(struct ftrace_ops),
	FIELD(ftrace_ops, func), FIELD(ftrace_ops, next), FIELD(ftrace_ops, flags), FIELD(ftrace_ops, private),
	FIELD(ftrace_ops, saved_func), FIELD(ftrace_ops, local_hash), FIELD(ftrace_ops, func_hash),
	FIELD(ftrace_ops, trampoline), FIELD(ftrace_ops, trampoline_size),
#ifdef arch_ftrace_regs /* since 6.13 the type in the kernel's interfaces has no members */
	ENTRY("sizeof(struct ftrace_regs)", sizeof(struct __arch_ftrace_regs)),
#else
	SIZE(struct ftrace_regs),
#endif
	SIZE(struct pt_regs),
	FIELD(pt_regs, ip), FIELD(pt_regs, sp), FIELD(pt_regs, flags), FIELD(pt_regs, di), FIELD(pt_regs, orig_ax),
	CONST(FTRACE_OPS_FL_ENABLED), CONST(FTRACE_OPS_FL_DYNAMIC), CONST(FTRACE_OPS_FL_SAVE_REGS),
	CONST(FTRACE_OPS_FL_SAVE_REGS_IF_SUPPORTED), CONST(FTRACE_OPS_FL_RECURSION), CONST(FTRACE_OPS_FL_INITIALIZED),
	CONST(FTRACE_OPS_FL_IPMODIFY), CONST(FTRACE_OPS_FL_PERMANENT), CONST(FTRACE_OPS_FL_DIRECT),

	/* Tables that objects have */
	SIZE(struct bug_entry), CONST(BUGFLAG_WARNING), CONST(BUGFLAG_ONCE), CONST(BUGFLAG_DONE),
	CONST(BUGFLAG_NO_CUT_HERE),
	SIZE(struct exception_table_entry),
	SIZE(struct jump_entry), FIELD(jump_entry, code), FIELD(jump_entry, target), FIELD(jump_entry, key),
	SIZE(struct static_key), FIELD(static_key, enabled), FIELD(static_key, type),
	SIZE(struct static_call_site), SIZE(struct static_call_key),
	SIZE(struct alt_instr),
#ifdef CONFIG_UNWINDER_ORC
	SIZE(struct orc_entry), CONST(ORC_REG_UNDEFINED), CONST(ORC_REG_PREV_SP), CONST(ORC_REG_SP), CONST(ORC_REG_BP),
#ifdef ORC_TYPE_CALL
	CONST(ORC_TYPE_CALL), CONST(ORC_TYPE_REGS), CONST(ORC_TYPE_REGS_PARTIAL),
#endif
#endif
#ifdef CONFIG_DYNAMIC_DEBUG_CORE
	SIZE(struct _ddebug), FIELD(_ddebug, modname), FIELD(_ddebug, function), FIELD(_ddebug, filename),
	FIELD(_ddebug, format),
#ifdef CONFIG_JUMP_LABEL
	FIELD(_ddebug, key),
#endif
#endif
#ifdef CONFIG_DYNAMIC_DEBUG
	CONST(_DPRINTK_FLAGS_PRINT),
#endif

	/* Fields that a patch adds to the structs of <linux/livepatch.h>; klpemu kernel build writes this file. */
#include "fields.h"
};
