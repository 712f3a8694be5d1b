/* SPDX-License-Identifier: GPL-2.0-only */
/* Time in ticks. How many there are in a second is the machine's business: conversions are calls. */
#ifndef _LINUX_JIFFIES_H
#define _LINUX_JIFFIES_H

extern unsigned long volatile jiffies;
unsigned long __msecs_to_jiffies(const unsigned int m);
#define msecs_to_jiffies(m) __msecs_to_jiffies(m)
/* No constant: the scenario's `hz:` says it. */
#define HZ __msecs_to_jiffies(1000)

unsigned int jiffies_to_msecs(const unsigned long j);

/* Right also when the counter has wrapped round in between. */
#define time_after(a, b) ((long)((b) - (a)) < 0)
#define time_before(a, b) time_after(b, a)
#define time_after_eq(a, b) ((long)((a) - (b)) >= 0)
#define time_before_eq(a, b) time_after_eq(b, a)
#define time_in_range(a, b, c) (time_after_eq(a, b) && time_before_eq(a, c))
#define time_is_before_jiffies(a) time_after(jiffies, a)
#define time_is_after_jiffies(a) time_before(jiffies, a)

#endif
