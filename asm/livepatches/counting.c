// SPDX-License-Identifier: GPL-2.0-only
/*
 * A livepatch as for the kernel: it enables itself, has callbacks and a parameter, and keeps a counter for each task
 * in a shadow variable. Its funcA returns `base` and the number of calls that the task has made of it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>

#define SV_CALLS 1

static int base = 7000;
module_param(base, int, 0644);
MODULE_PARM_DESC(base, "what funcA adds to the number of calls (default=7000)");

static noinline long counting_funcA(long x)
{
	int *calls = klp_shadow_get_or_alloc(current, SV_CALLS, sizeof(*calls), GFP_KERNEL, NULL, NULL);

	if (!calls)
		return -ENOMEM;
	return base + ++*calls;
}

static int pre_patch(struct klp_object *obj)
{
	pr_info("pre_patch: %s\n", obj->name ? obj->name : "vmlinux");
	return base < 0 ? -EINVAL : 0;
}

static void post_patch(struct klp_object *obj)
{
	pr_info("post_patch: everybody calls counting_funcA\n");
}

static void post_unpatch(struct klp_object *obj)
{
	/* No task is in counting_funcA any more. */
	klp_shadow_free_all(SV_CALLS, NULL);
	pr_info("post_unpatch: counters are gone\n");
}

static struct klp_func funcs[] = {
	{
		.old_name = "funcA",
		.new_func = counting_funcA,
	}, { }
};

static struct klp_object objs[] = {
	{
		.funcs = funcs,
		.callbacks = {
			.pre_patch = pre_patch,
			.post_patch = post_patch,
			.post_unpatch = post_unpatch,
		},
	}, { }
};

static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objs,
};

static int counting_init(void)
{
	return klp_enable_patch(&patch);
}

static void counting_exit(void)
{
}

module_init(counting_init);
module_exit(counting_exit);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
