// SPDX-License-Identifier: GPL-2.0-only
/*
 * klp_task NAME [CPU]: a user task of the scenario. It enters the kernel again and again, where klpkit.ko calls the functions of the task in
 * its name, and comes back to user mode after each round, as a system call does: there it can switch to another patch state.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "klpkit.h"

int main(int argc, char **argv)
{
	struct klpkit_visit visit = { 0 };
	int kit = open("/proc/klpkit", O_RDWR);
	cpu_set_t cpus;

	if (argc < 2 || kit < 0) {
		fprintf(stderr, "usage: klp_task NAME [CPU], with klpkit.ko loaded\n");
		return 2;
	}
	if (argc > 2) {
		CPU_ZERO(&cpus);
		CPU_SET(atoi(argv[2]), &cpus);
		if (sched_setaffinity(0, sizeof(cpus), &cpus))
			perror("sched_setaffinity");
	}
	signal(SIGCHLD, SIG_IGN);
	strncpy(visit.name, argv[1], KLPKIT_NAME - 1);
	for (;;) {
		/* Interrupted by a signal: also one of livepatch, which is no real one. */
		if (ioctl(kit, KLPKIT_ENTER, &visit))
			continue;
		if (visit.order == KLPKIT_EXIT)
			return 0;
		if (visit.order == KLPKIT_FORK && fork() == 0)
			memcpy(visit.name, visit.child, KLPKIT_NAME);
	}
}
