/* SPDX-License-Identifier: GPL-2.0-only */
/* Sleeping for a while. */
#ifndef _LINUX_DELAY_H
#define _LINUX_DELAY_H

void msleep(unsigned int msecs);

#endif
