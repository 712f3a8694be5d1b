// SPDX-License-Identifier: GPL-2.0-only
/* Livepatch lp5: asm/vmlinux/funcs.c describes the results of the functions. */
#include <linux/compiler.h>

long weigh(long x);

noinline long lp5_funcA(long x)
{
	long sum = weigh(x);

	return 1000 * x + 5100 + sum;
}
