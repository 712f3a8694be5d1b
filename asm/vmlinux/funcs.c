// SPDX-License-Identifier: GPL-2.0-only
/*
 * The functions that the scenarios patch. Each does a little real work on its argument and returns a value that identifies
 * the implementation: funcA of the kernel returns 1000 * argument + 100 + a sum, that of lp1 1100 instead of 100, that of lp2 2100, ...
 * The sum comes from a helper that is not inlined, so that a task has more than one frame on its stack.
 */
#include <linux/compiler.h>

static const unsigned char weights[8] = { 3, 1, 4, 1, 5, 9, 2, 6 };

/* Number of calls of funcA and funcB, in any implementation. */
long funcA_calls = 0;
long funcB_calls;
static long last_argument = -1;

/* Shared with the livepatches: the sum of the weights that the low bits of x choose. */
noinline long weigh(long x)
{
	long sum = 0;

	for (int i = 0; i < 8; i++) {
		if (x & (1L << i))
			sum += weights[i];
	}
	return sum;
}

noinline long funcA(long x)
{
	funcA_calls++;
	last_argument = x;
	return 1000 * x + 100 + weigh(x);
}

noinline long funcB(long x)
{
	funcB_calls++;
	barrier();
	return 1000 * x + 200 + weigh(x ^ last_argument);
}

/* Calls two traced functions: both may be patched, one, or none. */
noinline long funcC(long x)
{
	long a = funcA(x);
	long b = funcB(x + 1);

	return a + b;
}

/* Runs a loop that is long enough for preemption. */
noinline long funcD(long x)
{
	long sum = 0;

	for (long i = 0; i < 16; i++)
		sum += weigh(x + i) * i;
	return 1000 * x + 400 + sum;
}

/* Has no fentry site: cannot be patched. */
noinline notrace long untraced(long x)
{
	return weigh(x) + 1;
}

/* Two functions with the same name, which is common in kallsyms: see twin.c for the other. */
static noinline __used long twin(long x)
{
	return 1000 * x + 501 + weigh(x);
}

noinline long call_twin(long x)
{
	return twin(x);
}
