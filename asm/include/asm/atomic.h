/* SPDX-License-Identifier: GPL-2.0-only */
/* See linux/atomic.h. */
#include <linux/atomic.h>
