/* SPDX-License-Identifier: GPL-2.0-only */
/* See time64.h. */
#ifndef _LINUX_TIME_H
#define _LINUX_TIME_H

#include <linux/jiffies.h>
#include <linux/time64.h>

#endif
