// SPDX-License-Identifier: GPL-2.0-only
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>

static noinline long new_funcB(long x) { return 9000 + x; }

static struct klp_func funcs[] = { { .old_name = "funcB", .new_func = new_funcB }, { } };
static struct klp_object objs[] = { { .funcs = funcs }, { } };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs, .replace = true };

static int replaces_init(void) { return klp_enable_patch(&patch); }
static void replaces_exit(void) { }
module_init(replaces_init);
module_exit(replaces_exit);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
