// SPDX-License-Identifier: GPL-2.0-only
/* A livepatch that waits, under a lock and under klp_mutex, for a work that takes the same lock. */
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/workqueue.h>

static DEFINE_MUTEX(lock);

static void count(struct work_struct *work)
{
	mutex_lock(&lock);
	mutex_unlock(&lock);
}

static DECLARE_WORK(counting, count);

static noinline long locked_funcA(long x)
{
	return 1000 * x + 1900;
}

static void post_patch(struct klp_object *obj)
{
	mutex_lock(&lock);
	schedule_work(&counting);
	flush_work(&counting);
	mutex_unlock(&lock);
}

static struct klp_func funcs[] = { { .old_name = "funcA", .new_func = locked_funcA }, { } };

static struct klp_object objs[] = { { .funcs = funcs, .callbacks = { .post_patch = post_patch } }, { } };

static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs };

static int locked_init(void)
{
	return klp_enable_patch(&patch);
}

static void locked_exit(void)
{
}

module_init(locked_init);
module_exit(locked_exit);
MODULE_INFO(livepatch, "Y");
MODULE_LICENSE("GPL");
