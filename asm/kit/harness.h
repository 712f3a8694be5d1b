/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of klpkit.ko share. */
#ifndef KLPKIT_HARNESS_H
#define KLPKIT_HARNESS_H

#include <linux/ftrace.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include "klpkit.h"

#define MAX_TASKS 64
#define MAX_FUNCS 64
#define MAX_OPS 16
#define FUNC_NAME 64
#define SYMBOL 96

/* A function by name. `object`: "vmlinux" or a module; it is looked up at each use, because modules come and go. */
struct func {
	char object[MODULE_NAME_LEN];
	char name[FUNC_NAME];
};

struct kit_task {
	char name[KLPKIT_NAME];
	bool kthread, used, gone, interruptible;
	struct task_struct *task;
	struct func calls[MAX_FUNCS];
	int nr_calls;
	/* Sleeps in any of these implementations, if `may_sleep` is set. */
	char bodies[MAX_FUNCS][FUNC_NAME];
	int nr_bodies;

	/* Written by commands, read by the task; each is followed by a wake-up. */
	bool parked, exits, forks, woken;
	char child[KLPKIT_NAME];
	int child_cpu;
	struct func call;
	unsigned long args[6];
	bool call_wanted;
	u64 value;
	int asked, answered;

	/* Written by the task. */
	bool asleep, slept;
	char in[SYMBOL];
	bool probing, in_callback;
	unsigned long probe_rsp, probe_ip;
	char views[MAX_FUNCS][SYMBOL];
};

/* klpkit.c */
unsigned long address_of(const struct func *func);
int read_func(struct func *func, char *text);
struct kit_task *kit_current(void);

/* ops.c */
int declare_ops(const char *name, char *rest);
int ops_command(const char *verb, const char *name, char *rest);
void show_calls(struct seq_file *m);

/* probe.S */
void klpkit_probe(unsigned long *save, unsigned long func);
void klpkit_leave(unsigned long *save);

#endif
