/* SPDX-License-Identifier: GPL-2.0-only */
/* File modes of parameters and attributes. */
#ifndef _LINUX_STAT_H
#define _LINUX_STAT_H

#define S_IRUSR 0400
#define S_IWUSR 0200
#define S_IRGRP 0040
#define S_IWGRP 0020
#define S_IROTH 0004
#define S_IWOTH 0002
#define S_IRUGO (S_IRUSR | S_IRGRP | S_IROTH)
#define S_IWUGO (S_IWUSR | S_IWGRP | S_IWOTH)

#endif
