/* SPDX-License-Identifier: GPL-2.0-only */
/* See linux/bug.h. */
#include <linux/bug.h>
