/* SPDX-License-Identifier: GPL-2.0-only */
/* Interrupts: there are none. */
#ifndef _LINUX_IRQFLAGS_H
#define _LINUX_IRQFLAGS_H

#include <linux/compiler.h>

#define local_irq_disable() barrier()
#define local_irq_enable() barrier()
#define local_irq_save(flags) do { (flags) = 0; barrier(); } while (0)
#define local_irq_restore(flags) do { (void)(flags); barrier(); } while (0)

#endif
