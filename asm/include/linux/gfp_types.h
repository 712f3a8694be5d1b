/* SPDX-License-Identifier: GPL-2.0-only */
/* See gfp.h. */
#ifndef _LINUX_GFP_TYPES_H
#define _LINUX_GFP_TYPES_H

#include <linux/gfp.h>

#endif
