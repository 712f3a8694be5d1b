/* SPDX-License-Identifier: GPL-2.0-only */
/* /proc: a module cannot make files there yet. Sources that only include it compile. */
#ifndef _LINUX_PROC_FS_H
#define _LINUX_PROC_FS_H

#include <linux/compiler.h>
#include <linux/fs.h>
#include <linux/seq_file.h>
#include <linux/types.h>

struct proc_dir_entry;
struct proc_ops;

#define __NO_PROC __compiletime_error("files in /proc are not emulated: use a kobj_attribute in /sys/kernel")
struct proc_dir_entry *proc_create(const char *name, umode_t mode, struct proc_dir_entry *parent, const struct proc_ops *ops) __NO_PROC;
struct proc_dir_entry *proc_create_single(const char *name, umode_t mode, struct proc_dir_entry *parent,
					  int (*show)(struct seq_file *m, void *v)) __NO_PROC;
struct proc_dir_entry *proc_mkdir(const char *name, struct proc_dir_entry *parent) __NO_PROC;
void remove_proc_entry(const char *name, struct proc_dir_entry *parent) __NO_PROC;

#endif
