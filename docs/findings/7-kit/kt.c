// SPDX-License-Identifier: GPL-2.0-only
/* The target: funcN() is livepatched; the new funcN() calls kt_secret(), which is static. noipa: gcc makes no clone of it under another name. */
#include <linux/module.h>

static __attribute__((noipa)) long kt_secret(long x)
{
	return 40 + x;
}

noinline long funcN(long x);
noinline long funcN(long x)
{
	barrier();
	return x;
}

static int __init kt_init(void)
{
	pr_info("kt: kt_secret(2)=%ld funcN(2)=%ld\n", kt_secret(2), funcN(2));
	return 0;
}

static void __exit kt_exit(void)
{
}

module_init(kt_init);
module_exit(kt_exit);
MODULE_LICENSE("GPL");
