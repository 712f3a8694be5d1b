/* SPDX-License-Identifier: GPL-2.0-only */
/* Files in /proc that are written line by line. */
#ifndef _LINUX_SEQ_FILE_H
#define _LINUX_SEQ_FILE_H

#include <linux/compiler.h>
#include <linux/fs.h>
#include <linux/types.h>

struct seq_file {
	char __reserved[112];
	/* What proc_create_single_data() was given. */
	void *private;
};
__printf(2, 3) void seq_printf(struct seq_file *m, const char *fmt, ...);
void seq_puts(struct seq_file *m, const char *text);
void seq_putc(struct seq_file *m, char c);
int seq_write(struct seq_file *m, const void *data, size_t length);

#endif
