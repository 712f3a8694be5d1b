/* SPDX-License-Identifier: GPL-2.0-only */
/* One line for each row of a benchmark: name, nanoseconds per unit, result for CHECK units. */
#include <stdio.h>
#include <time.h>

/* Every Cpu prints its result for this number of units: all results must be equal. */
#define CHECK 16

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static void row(const char *name, long (*run)(long), double budget)
{
	long n = 1;
	double took = 0;

	for (;; n *= 2) {
		double start = now();

		run(n);
		took = now() - start;
		if (took > budget)
			break;
	}
	printf("%s %.4f %ld\n", name, took / n, run(CHECK));
}
