// SPDX-License-Identifier: GPL-2.0-only
/* A livepatch of a function that do_exit() calls after a task has left the task list. For the tasks of one program, it sleeps. */
#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/sched.h>

static unsigned long calls;
static noinline void lpx_exit_task_stack_account(struct task_struct *tsk)
{
	if (strcmp(tsk->comm, "klp_task"))
		return;
	msleep(12000);
	/* No tail call: the function is on the stack while it sleeps. */
	WRITE_ONCE(calls, calls + 1);
}
static struct klp_func funcs[] = { { .old_name = "exit_task_stack_account", .new_func = lpx_exit_task_stack_account }, { } };
static struct klp_object objs[] = { { .funcs = funcs }, { } };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs };
static int lpx_init(void) { return klp_enable_patch(&patch); }
static void lpx_exit(void) { }
module_init(lpx_init);
module_exit(lpx_exit);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
