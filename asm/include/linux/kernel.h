/* SPDX-License-Identifier: GPL-2.0-only */
/* Odds and ends. */
#ifndef _LINUX_KERNEL_H
#define _LINUX_KERNEL_H

#include <linux/align.h>
#include <linux/array_size.h>
#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/container_of.h>
#include <linux/errno.h>
#include <linux/init.h>
#include <linux/kconfig.h>
#include <linux/kstrtox.h>
#include <linux/limits.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/printk.h>
#include <linux/sprintf.h>
#include <linux/stddef.h>
#include <linux/string.h>
#include <linux/stringify.h>
#include <linux/types.h>

/* CONFIG_NR_CPUS of a distribution's kernel; arrays by CPU have that many entries. */
#define NR_CPUS 64

#define upper_32_bits(n) ((u32)(((n) >> 16) >> 16))
#define lower_32_bits(n) ((u32)((n) & 0xffffffff))
#define might_sleep() do { } while (0)
#define might_sleep_if(condition) do { (void)(condition); } while (0)

void panic(const char *fmt, ...) __noreturn __compiletime_error("panic() is not emulated: use BUG()");

#endif
