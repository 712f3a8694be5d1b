/* SPDX-License-Identifier: GPL-2.0-only */
/* Files in /proc that are written line by line. */
#ifndef _LINUX_SEQ_FILE_H
#define _LINUX_SEQ_FILE_H

struct seq_file;
void seq_printf(struct seq_file *m, const char *fmt, ...) __attribute__((__format__(__printf__, 2, 3)));
void seq_puts(struct seq_file *m, const char *text);

#endif
