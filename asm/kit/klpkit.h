/* SPDX-License-Identifier: GPL-2.0-only */
/* What klpkit.ko and klp_task say to each other: one ioctl of /proc/klpkit, KLPKIT_ENTER, is one visit of a task in the kernel. */
#ifndef KLPKIT_H
#define KLPKIT_H

#include <linux/ioctl.h>

#define KLPKIT_NAME 32

/* What the process must do when it is back in user mode. */
enum klpkit_order { KLPKIT_AGAIN, KLPKIT_FORK, KLPKIT_EXIT };

struct klpkit_visit {
	char name[KLPKIT_NAME];		/* in: the task */
	char child[KLPKIT_NAME];	/* out: with KLPKIT_FORK, the name of the child */
	int order;			/* out: enum klpkit_order */
	int cpu;			/* out: with KLPKIT_FORK, the child's CPU; -1: any */
};

#define KLPKIT_ENTER _IOWR('k', 1, struct klpkit_visit)

#endif
