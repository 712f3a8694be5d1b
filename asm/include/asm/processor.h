/* SPDX-License-Identifier: GPL-2.0-only */
/* See linux/processor.h. */
#include <linux/processor.h>
