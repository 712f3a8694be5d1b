// SPDX-License-Identifier: GPL-2.0-only
/* Livepatch lp1: see asm/vmlinux/funcs.c for what the functions return. */
#include <linux/compiler.h>

long weigh(long x);

noinline long lp1_funcA(long x)
{
	long sum = weigh(x);

	return 1000 * x + 1100 + sum;
}
