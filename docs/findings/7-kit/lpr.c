// SPDX-License-Identifier: GPL-2.0-only
/* A livepatch of kt.ko with a livepatch relocation, whose pre_patch callback returns what the parameter says. */
#include <linux/livepatch.h>
#include <linux/module.h>

static int refuse;
module_param(refuse, int, 0644);
MODULE_PARM_DESC(refuse, "the errno with which pre_patch refuses");

/* klprela makes a relocation of it that livepatch applies when kt.ko comes (Documentation/livepatch/module-elf-format.rst). */
extern long kt_secret(long x) __asm__("\".klp.sym.kt.kt_secret,0\"");

static noinline long lpr_funcN(long x)
{
	return 1000 + kt_secret(x);
}

static int pre_patch(struct klp_object *obj)
{
	pr_info("lpr: pre_patch(%s) returns %d\n", obj->name, -refuse);
	return -refuse;
}

static struct klp_func funcs[] = {
	{ .old_name = "funcN", .new_func = lpr_funcN, },
	{ }
};

static struct klp_object objs[] = {
	{ .name = "kt", .funcs = funcs, .callbacks = { .pre_patch = pre_patch, }, },
	{ }
};

static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs, };

static int __init lpr_init(void)
{
	return klp_enable_patch(&patch);
}

static void __exit lpr_exit(void)
{
}

module_init(lpr_init);
module_exit(lpr_exit);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
