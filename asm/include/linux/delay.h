/* SPDX-License-Identifier: GPL-2.0-only */
/* Sleeping for a while. */
#ifndef _LINUX_DELAY_H
#define _LINUX_DELAY_H

#include <linux/sched.h>

void msleep(unsigned int msecs);
unsigned long msleep_interruptible(unsigned int msecs);
#define ssleep(seconds) msleep((seconds) * 1000)
void usleep_range_state(unsigned long min, unsigned long max, unsigned int state);
#define usleep_range(min, max) usleep_range_state(min, max, TASK_UNINTERRUPTIBLE)
#define fsleep(usecs) usleep_range(usecs, 2 * (usecs))

/* There is no time shorter than a jiffy: a busy loop takes none. */
#define ndelay(n) do { (void)(n); barrier(); } while (0)
#define udelay(n) ndelay(n)
#define mdelay(n) ndelay(n)

#endif
