// SPDX-License-Identifier: GPL-2.0-only
#include <linux/livepatch.h>
#include <linux/module.h>

static noinline long in_c_funcA(long x)
{
	return x;
}

static noinline void in_c_note_call(long x)
{
}

static struct klp_func funcs[] = {
	{ .old_name = "funcA", .new_func = in_c_funcA, },
	{ }
};

static struct klp_func tracers_funcs[] = {
	{ .old_name = "note_call", .new_func = in_c_note_call, },
	{ }
};

static struct klp_object objs[] = {
	{ .name = "tracers", .funcs = tracers_funcs, },
	{ .funcs = funcs, },
	{ }
};

static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs, };

static int __init in_c_init(void)
{
	return klp_enable_patch(&patch);
}

static void __exit in_c_exit(void)
{
}

module_init(in_c_init);
module_exit(in_c_exit);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
