/* SPDX-License-Identifier: GPL-2.0-only */
/* Kprobes and kretprobes: probes of the entry and the return of a function with a fentry site. The fields have the kernel's names and order. */
#ifndef _LINUX_KPROBES_H
#define _LINUX_KPROBES_H

#include <linux/compiler.h>
#include <linux/ftrace.h>
#include <linux/list.h>
#include <linux/ptrace.h>
#include <linux/rcupdate.h>
#include <linux/types.h>

#define NOKPROBE_SYMBOL(name)
#define nokprobe_inline inline __always_inline
#define __kprobes noinline

typedef u8 kprobe_opcode_t;
struct kprobe;
struct kretprobe;
struct kretprobe_instance;
typedef int (*kprobe_pre_handler_t)(struct kprobe *, struct pt_regs *);
typedef void (*kprobe_post_handler_t)(struct kprobe *, struct pt_regs *, unsigned long flags);
typedef int (*kretprobe_handler_t)(struct kretprobe_instance *, struct pt_regs *);

struct kprobe {
	struct hlist_node hlist;
	struct list_head list;
	unsigned long nmissed;
	/* The place: either addr, or symbol_name. */
	kprobe_opcode_t *addr;
	const char *symbol_name;
	unsigned int offset;
	kprobe_pre_handler_t pre_handler;
	kprobe_post_handler_t post_handler;
	kprobe_opcode_t opcode;
	/* struct arch_specific_insn */
	u64 ainsn[4];
	u32 flags;
};

struct rethook {
	void *data;
};

struct rethook_node {
	struct rcu_head rcu;
	void *llist;
	struct rethook *rethook;
	unsigned long ret_addr;
	unsigned long frame;
};

struct kretprobe {
	struct kprobe kp;
	kretprobe_handler_t handler;
	/* Not 0: the return of this call is not probed. */
	kretprobe_handler_t entry_handler;
	/* Calls that can be probed at the same time; a call without an instance is counted in nmissed. */
	int maxactive;
	int nmissed;
	size_t data_size;
	struct rethook *rh;
};

#define KRETPROBE_MAX_DATA_SIZE 4096

struct kretprobe_instance {
	struct rethook_node node;
	char data[];
};

static nokprobe_inline struct kretprobe *get_kretprobe(struct kretprobe_instance *ri)
{
	return (struct kretprobe *)ri->node.rethook->data;
}
static nokprobe_inline unsigned long get_kretprobe_retaddr(struct kretprobe_instance *ri)
{
	return ri->node.ret_addr;
}

int register_kretprobe(struct kretprobe *rp);
void unregister_kretprobe(struct kretprobe *rp);

int register_kprobe(struct kprobe *p);
void unregister_kprobe(struct kprobe *p);

#endif
