// SPDX-License-Identifier: GPL-2.0-only
/* The next one, cumulative. */
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/sched.h>

static noinline void lpy_exit_task_stack_account(struct task_struct *tsk) { barrier(); }
static struct klp_func funcs[] = { { .old_name = "exit_task_stack_account", .new_func = lpy_exit_task_stack_account }, { } };
static struct klp_object objs[] = { { .funcs = funcs }, { } };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs, .replace = true };
static int lpy_init(void) { return klp_enable_patch(&patch); }
static void lpy_exit(void) { }
module_init(lpy_init);
module_exit(lpy_exit);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
