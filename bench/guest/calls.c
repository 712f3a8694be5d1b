// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest code of the benchmark of the redirect path: functions, and loops that call them. Two tasks run the loops: each sleeps in
 * schedule(), and runs bench_body when it is woken.
 */
#include <linux/compiler.h>
#include <linux/sched.h>

/* Set by the host before it wakes a task; the result for the host to check. */
long bench_n;
long bench_result;
long (*bench_body)(long n);

#define STAY								\
	for (;;) {							\
		set_current_state(TASK_UNINTERRUPTIBLE);		\
		schedule();						\
		bench_result = bench_body(bench_n);			\
	}

/* Sleeps outside of patched functions: the task switches in the first pass of every transition. */
noinline notrace void stay(long pid)
{
	STAY
}

/* Patched functions: a task that sleeps in one stays UNPATCHED while the transition is open. */
noinline void stay_old(long pid)
{
	STAY
}

/* Replacements of stay_old and stay_late: a task that sleeps in one stays PATCHED while its livepatch is being disabled. */
noinline void stay_lp(long pid)
{
	STAY
}

noinline void stay_late(long pid)
{
	barrier();
}

/* The empty loop, whose cost is subtracted. */
noinline notrace long loop(long n)
{
	for (long i = 0; i < n; i++)
		barrier();
	return n;
}

#define LOOP(name)							\
	noinline notrace long loop_##name(long n)			\
	{								\
		long x = 0;						\
									\
		for (long i = 0; i < n; i++)				\
			x = name(x);					\
		return x;						\
	}

#define FUNCTION(name, attributes, step)				\
	noinline attributes long name(long x)				\
	{								\
		barrier();						\
		return x + (step);					\
	}

FUNCTION(untraced, notrace, 1)
LOOP(untraced)

/* The function that all cases patch or trace. */
FUNCTION(traced, , 1)
LOOP(traced)

/* Has one entry on its func_stack where traced() has two: below it is the original. */
FUNCTION(bottom, , 1)
LOOP(bottom)

/* Their replacements: the result identifies the implementation. */
FUNCTION(lp_first, , 2)
FUNCTION(lp_second, , 3)
FUNCTION(lp_more, , 4)
