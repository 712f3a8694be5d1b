// SPDX-License-Identifier: GPL-2.0-only
/* gcc moves what is unlikely out of split() to split.cold, which is a symbol and a place of its own. */
#include <linux/compiler.h>

long trouble = 0;

__attribute__((__cold__, __noinline__)) void complain(void)
{
	barrier();
	trouble += 2;
}

noinline long split(long x)
{
	if (__builtin_expect(x > 0, 0)) {
		complain();
		barrier();
		return 800 + x;
	}
	barrier();
	return 700 + x;
}
