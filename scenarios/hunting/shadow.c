// SPDX-License-Identifier: GPL-2.0-only
/* A livepatch that keeps one shadow variable for its life: pre_patch makes it, post_patch uses it, post_unpatch frees it. */
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/slab.h>

#define SV_LIFE 7

static int owner;

static noinline long shadow_funcA(long x)
{
	return 1000 * x + 1700;
}

static int pre_patch(struct klp_object *obj)
{
	int *life = klp_shadow_get_or_alloc(&owner, SV_LIFE, sizeof(*life), GFP_KERNEL, NULL, NULL);

	if (!life)
		return -ENOMEM;
	*life = 1;
	return 0;
}

static void post_patch(struct klp_object *obj)
{
	int *life = klp_shadow_get(&owner, SV_LIFE);

	if (life)
		++*life;
	else
		pr_warn("post_patch: the variable is gone\n");
}

static void post_unpatch(struct klp_object *obj)
{
	klp_shadow_free_all(SV_LIFE, NULL);
}

static struct klp_func funcs[] = { { .old_name = "funcA", .new_func = shadow_funcA }, { } };

static struct klp_object objs[] = {
	{
		.funcs = funcs,
		.callbacks = { .pre_patch = pre_patch, .post_patch = post_patch, .post_unpatch = post_unpatch },
	}, { }
};

static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs };

static int shadow_init(void)
{
	return klp_enable_patch(&patch);
}

static void shadow_exit(void)
{
}

module_init(shadow_init);
module_exit(shadow_exit);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
