/* SPDX-License-Identifier: GPL-2.0-only */
/* debugfs: a module cannot make files there. Sources that only include it compile. */
#ifndef _LINUX_DEBUGFS_H
#define _LINUX_DEBUGFS_H

#include <linux/compiler.h>
#include <linux/fs.h>
#include <linux/seq_file.h>
#include <linux/types.h>

struct dentry;
struct file_operations;

#define __NO_DEBUGFS __compiletime_error("debugfs is not emulated: use a kobj_attribute in /sys/kernel, or proc_create_single()")
struct dentry *debugfs_create_dir(const char *name, struct dentry *parent) __NO_DEBUGFS;
struct dentry *debugfs_create_file(const char *name, umode_t mode, struct dentry *parent, void *data,
				   const struct file_operations *fops) __NO_DEBUGFS;
void debugfs_create_bool(const char *name, umode_t mode, struct dentry *parent, bool *value) __NO_DEBUGFS;
void debugfs_create_u32(const char *name, umode_t mode, struct dentry *parent, u32 *value) __NO_DEBUGFS;
void debugfs_create_u64(const char *name, umode_t mode, struct dentry *parent, u64 *value) __NO_DEBUGFS;
void debugfs_remove(struct dentry *dentry) __NO_DEBUGFS;
#define debugfs_remove_recursive debugfs_remove

#endif
