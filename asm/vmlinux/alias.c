// SPDX-License-Identifier: GPL-2.0-only
/* One function with two names, as kallsyms has many: a livepatch may patch it under either. */
#include <linux/compiler.h>

long weigh(long x);

noinline long funcE(long x)
{
	return 1000 * x + 600 + weigh(x);
}

long funcE_alias(long x) __attribute__((alias("funcE")));
