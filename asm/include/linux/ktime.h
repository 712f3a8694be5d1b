/* SPDX-License-Identifier: GPL-2.0-only */
/* Time in nanoseconds. It moves a jiffy at a time. */
#ifndef _LINUX_KTIME_H
#define _LINUX_KTIME_H

#include <linux/jiffies.h>
#include <linux/time64.h>
#include <linux/types.h>

typedef s64 ktime_t;

ktime_t ktime_get(void);
#define ktime_get_ns() ((u64)ktime_get())
#define ktime_add(a, b) ((a) + (b))
#define ktime_sub(a, b) ((a) - (b))
#define ktime_add_ns(kt, ns) ((kt) + (ns))
#define ktime_add_ms(kt, ms) ((kt) + (s64)(ms) * NSEC_PER_MSEC)
#define ktime_to_ns(kt) (kt)
#define ktime_to_us(kt) ((kt) / NSEC_PER_USEC)
#define ktime_to_ms(kt) ((kt) / NSEC_PER_MSEC)
#define ns_to_ktime(ns) ((ktime_t)(ns))
#define ms_to_ktime(ms) ((ktime_t)(ms) * NSEC_PER_MSEC)
#define ktime_us_delta(later, earlier) ktime_to_us(ktime_sub(later, earlier))
#define ktime_ms_delta(later, earlier) ktime_to_ms(ktime_sub(later, earlier))

static inline int ktime_compare(const ktime_t a, const ktime_t b)
{
	return a < b ? -1 : a > b;
}

#define ktime_after(a, b) (ktime_compare(a, b) > 0)
#define ktime_before(a, b) (ktime_compare(a, b) < 0)

#endif
