/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory in pages: here the same as kmalloc(). */
#ifndef _LINUX_VMALLOC_H
#define _LINUX_VMALLOC_H

#include <linux/slab.h>

static inline void *vmalloc(unsigned long size)
{
	return kmalloc(size, GFP_KERNEL);
}

static inline void *vzalloc(unsigned long size)
{
	return kzalloc(size, GFP_KERNEL);
}

static inline void vfree(const void *address)
{
	kfree(address);
}

#endif
