// SPDX-License-Identifier: GPL-2.0-only
/* Livepatch lp1: asm/vmlinux/funcs.c describes the results of the functions. */
#include <linux/compiler.h>

long weigh(long x);

noinline long lp1_funcA(long x)
{
	long sum = weigh(x);

	return 1000 * x + 1100 + sum;
}
