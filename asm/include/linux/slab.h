/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory. */
#ifndef _LINUX_SLAB_H
#define _LINUX_SLAB_H

#include <linux/types.h>

/* include/linux/gfp_types.h of 6.12 */
#define __GFP_ZERO 0x100u
#define GFP_KERNEL 0xcc0u
#define GFP_ATOMIC 0x820u
#define GFP_NOWAIT 0x2800u

void *kmalloc(size_t size, gfp_t flags);
void kfree(const void *object);

static inline void *kzalloc(size_t size, gfp_t flags)
{
	return kmalloc(size, flags | __GFP_ZERO);
}

#endif
