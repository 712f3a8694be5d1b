/* SPDX-License-Identifier: GPL-2.0-only */
/* Kprobes: not emulated. Sources that only include it compile. */
#ifndef _LINUX_KPROBES_H
#define _LINUX_KPROBES_H

#include <linux/compiler.h>
#include <linux/ftrace.h>
#include <linux/types.h>

#define NOKPROBE_SYMBOL(name)
#define nokprobe_inline inline __always_inline
#define __kprobes noinline

typedef u8 kprobe_opcode_t;
struct kprobe;
struct kretprobe;

#define __NO_KPROBES __compiletime_error("kprobes are not emulated: use an ftrace_ops")
int register_kprobe(struct kprobe *p) __NO_KPROBES;
void unregister_kprobe(struct kprobe *p) __NO_KPROBES;
int register_kretprobe(struct kretprobe *rp) __NO_KPROBES;
void unregister_kretprobe(struct kretprobe *rp) __NO_KPROBES;

#endif
