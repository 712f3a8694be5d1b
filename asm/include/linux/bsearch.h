/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_BSEARCH_H
#define _LINUX_BSEARCH_H

#include <linux/sort.h>

/* NULL: there is none. */
void *bsearch(const void *key, const void *base, size_t num, size_t size, cmp_func_t compare);

#endif
