/* SPDX-License-Identifier: GPL-2.0-only */
/* The CPU that executes. */
#ifndef _LINUX_SMP_H
#define _LINUX_SMP_H

#include <linux/compiler.h>
#include <linux/preempt.h>

#endif
