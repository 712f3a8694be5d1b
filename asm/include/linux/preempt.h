/* SPDX-License-Identifier: GPL-2.0-only */
/* Preemption is a property of the machine: these keep the compiler from moving code. */
#ifndef _LINUX_PREEMPT_H
#define _LINUX_PREEMPT_H

#include <linux/compiler.h>

#define preempt_disable() barrier()
#define preempt_enable() barrier()
#define preempt_disable_notrace() barrier()
#define preempt_enable_notrace() barrier()

#endif
