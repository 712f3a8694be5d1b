// SPDX-License-Identifier: GPL-2.0-only
/* One function with two names, which is common in kallsyms: a livepatch may use each of them. */
#include <linux/compiler.h>

long weigh(long x);

noinline long funcE(long x)
{
	return 1000 * x + 600 + weigh(x);
}

long funcE_alias(long x) __attribute__((alias("funcE")));
