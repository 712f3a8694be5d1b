/* SPDX-License-Identifier: GPL-2.0-only */
/* Files: only their names, for declarations. */
#ifndef _LINUX_FS_H
#define _LINUX_FS_H

#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/stat.h>
#include <linux/types.h>

struct file;
struct inode;
struct dentry;
struct super_block;
struct address_space;
struct file_operations;

#endif
