// SPDX-License-Identifier: GPL-2.0-only
/* Livepatch lp3: asm/vmlinux/funcs.c describes the results of the functions. */
#include <linux/compiler.h>

long weigh(long x);

noinline long lp3_funcB(long x)
{
	long sum = weigh(x);

	return 1000 * x + 3200 + sum;
}
