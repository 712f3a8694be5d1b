/* SPDX-License-Identifier: GPL-2.0-only */
/* Powers of two. */
#ifndef _LINUX_LOG2_H
#define _LINUX_LOG2_H

#include <linux/types.h>

/* Also of a constant; undefined for 0. */
#define ilog2(n) (63 - __builtin_clzl(n))
#define is_power_of_2(n) ((n) != 0 && ((n) & ((n) - 1)) == 0)
#define order_base_2(n) ((n) > 1 ? ilog2((n) - 1) + 1 : 0)
#define roundup_pow_of_two(n) (1UL << order_base_2(n))
#define rounddown_pow_of_two(n) (1UL << ilog2(n))

#endif
