// SPDX-License-Identifier: GPL-2.0-only
/* Livepatch lp4: asm/vmlinux/funcs.c describes the results of the functions. */
#include <linux/compiler.h>

long weigh(long x);

noinline long lp4_funcA(long x)
{
	long sum = weigh(x);

	return 1000 * x + 4100 + sum;
}

noinline long lp4_funcB(long x)
{
	long sum = weigh(x);

	return 1000 * x + 4200 + sum;
}
