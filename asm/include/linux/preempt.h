/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_PREEMPT_H
#define _LINUX_PREEMPT_H

#include <linux/compiler.h>

void preempt_count_add(int val);
void preempt_count_sub(int val);

#define preempt_disable() do { preempt_count_add(1); barrier(); } while (0)
#define preempt_enable() do { barrier(); preempt_count_sub(1); } while (0)
#define preempt_disable_notrace() preempt_disable()
#define preempt_enable_notrace() preempt_enable()

#endif
