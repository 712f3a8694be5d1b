/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory of processes: there is none. Sources that only include it compile. */
#ifndef _LINUX_UACCESS_H
#define _LINUX_UACCESS_H

#include <linux/compiler.h>
#include <linux/sched.h>
#include <linux/types.h>

#define __NO_USER __compiletime_error("there is no memory of processes: tasks run in the kernel only")
unsigned long copy_from_user(void *to, const void __user *from, unsigned long n) __NO_USER;
unsigned long copy_to_user(void __user *to, const void *from, unsigned long n) __NO_USER;
long strncpy_from_user(char *to, const char __user *from, long n) __NO_USER;

#endif
