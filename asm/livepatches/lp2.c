// SPDX-License-Identifier: GPL-2.0-only
/* Livepatch lp2: asm/vmlinux/funcs.c describes the results of the functions. */
#include <linux/compiler.h>

long weigh(long x);

noinline long lp2_funcA(long x)
{
	long sum = weigh(x);

	return 1000 * x + 2100 + sum;
}

noinline long lp2_funcB(long x)
{
	long sum = weigh(x);

	return 1000 * x + 2200 + sum;
}
