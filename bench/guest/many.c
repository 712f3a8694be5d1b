// SPDX-License-Identifier: GPL-2.0-only
/* A thousand functions to patch (f000 ... f999), their replacements (lp_f000 ...), and functions for tasks to sleep in. */
#include <linux/compiler.h>
#include <linux/sched.h>

#define F1(n)								\
	noinline long f##n(long x)					\
	{								\
		barrier();						\
		return x + 1;						\
	}								\
	noinline long lp_f##n(long x)					\
	{								\
		barrier();						\
		return x + 2;						\
	}
#define F10(n) F1(n##0) F1(n##1) F1(n##2) F1(n##3) F1(n##4) F1(n##5) F1(n##6) F1(n##7) F1(n##8) F1(n##9)
#define F100(n) F10(n##0) F10(n##1) F10(n##2) F10(n##3) F10(n##4) F10(n##5) F10(n##6) F10(n##7) F10(n##8) F10(n##9)

F100(0)
F100(1)
F100(2)
F100(3)
F100(4)
F100(5)
F100(6)
F100(7)
F100(8)
F100(9)

/* Number of frames that deep() puts on the stack before it sleeps. */
long bench_depth;

noinline notrace long deep(long left)
{
	long below;

	if (left <= 1) {
		set_current_state(TASK_UNINTERRUPTIBLE);
		schedule();
		return 1;
	}
	below = deep(left - 1);
	barrier();
	return below + 1;
}

noinline notrace long sleep_deep(long pid)
{
	return deep(bench_depth) + pid;
}
