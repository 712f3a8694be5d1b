// SPDX-License-Identifier: GPL-2.0-only
/*
 * klp_task NAME [CPU]: a user task of the scenario. It enters the kernel again and again, where klpkit.ko calls the functions of the task in
 * its name, and comes back to user mode after each round, as a system call does: there it can switch to another patch state.
 *
 * klp_task insmod FILE [PARAMETER=VALUE ...]: loads a module with one system call. (busybox's insmod tries a second one when the first fails.)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "klpkit.h"

static int load(int argc, char **argv)
{
	char params[1000] = "";
	int i, file = open(argv[2], O_RDONLY | O_CLOEXEC);

	for (i = 3; i < argc; i++)
		snprintf(params + strlen(params), sizeof(params) - strlen(params), "%s ", argv[i]);
	if (file >= 0 && !syscall(SYS_finit_module, file, params, 0))
		return 0;
	printf("insmod: %s: %s\n", argv[2], strerror(errno));
	return 1;
}

static void bind_to(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		perror("sched_setaffinity");
}

int main(int argc, char **argv)
{
	struct klpkit_visit visit = { 0 };
	int kit = open("/proc/klpkit", O_RDWR);

	if (argc > 2 && !strcmp(argv[1], "insmod"))
		return load(argc, argv);
	if (argc < 2 || kit < 0) {
		fprintf(stderr, "usage: klp_task NAME [CPU], with klpkit.ko loaded\n");
		return 2;
	}
	if (argc > 2)
		bind_to(atoi(argv[2]));
	signal(SIGCHLD, SIG_IGN);
	strncpy(visit.name, argv[1], KLPKIT_NAME - 1);
	for (;;) {
		/* Interrupted by a signal: also one of livepatch, which is no real one. */
		if (ioctl(kit, KLPKIT_ENTER, &visit))
			continue;
		if (visit.order == KLPKIT_EXIT)
			return 0;
		if (visit.order == KLPKIT_FORK && fork() == 0) {
			memcpy(visit.name, visit.child, KLPKIT_NAME);
			if (visit.cpu >= 0)
				bind_to(visit.cpu);
		}
	}
}
