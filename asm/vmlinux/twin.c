// SPDX-License-Identifier: GPL-2.0-only
/* The second function called twin: sympos 2 in a vmlinux of funcs.c and this file. */
#include <linux/compiler.h>

long weigh(long x);

static noinline __used long twin(long x)
{
	return 1000 * x + 502 + weigh(x);
}

noinline long call_other_twin(long x)
{
	return twin(x);
}
