// SPDX-License-Identifier: GPL-2.0-only
/* Livepatch lp2: see asm/vmlinux/funcs.c for what the functions return. */
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
