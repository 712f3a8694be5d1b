/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel log. A module may define pr_fmt before it includes anything. */
#ifndef _LINUX_PRINTK_H
#define _LINUX_PRINTK_H

/* The level is a prefix of the format: SOH and a digit. */
#define KERN_SOH "\001"
#define KERN_ERR KERN_SOH "3"
#define KERN_WARNING KERN_SOH "4"
#define KERN_NOTICE KERN_SOH "5"
#define KERN_INFO KERN_SOH "6"
#define KERN_DEBUG KERN_SOH "7"

/* No format check: the kernel has conversions (%pGg) that gcc does not know. */
int _printk(const char *fmt, ...);
#define printk(fmt, ...) _printk(fmt, ##__VA_ARGS__)

#ifndef pr_fmt
#define pr_fmt(fmt) fmt
#endif

#define pr_err(fmt, ...) printk(KERN_ERR pr_fmt(fmt), ##__VA_ARGS__)
#define pr_warn(fmt, ...) printk(KERN_WARNING pr_fmt(fmt), ##__VA_ARGS__)
#define pr_notice(fmt, ...) printk(KERN_NOTICE pr_fmt(fmt), ##__VA_ARGS__)
#define pr_info(fmt, ...) printk(KERN_INFO pr_fmt(fmt), ##__VA_ARGS__)

extern int console_printk[];
#define console_loglevel (console_printk[0])
#define CONSOLE_LOGLEVEL_MOTORMOUTH 15

#endif
