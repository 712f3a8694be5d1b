// SPDX-License-Identifier: GPL-2.0-only
/* Livepatch lp5: see asm/vmlinux/funcs.c for what the functions return. */
#include <linux/compiler.h>

long weigh(long x);

noinline long lp5_funcA(long x)
{
	long sum = weigh(x);

	return 1000 * x + 5100 + sum;
}
