// SPDX-License-Identifier: GPL-2.0-only
/* The ftrace_ops of a scenario: other users of the fentry sites, beside livepatches. */
#include <linux/atomic.h>
#include <linux/ftrace.h>
#include <linux/string.h>
#include "harness.h"

enum ops_kind {
	COUNTS,		/* counts its calls */
	REDIRECTS,	/* counts them, and sends them to another function (IPMODIFY) */
	CALLS,		/* calls a function of the scenario */
	DIRECT,		/* has no call-back: the sites call a function, as for a BPF trampoline */
};

struct kit_ops {
	struct ftrace_ops ops;
	char name[KLPKIT_NAME];
	enum ops_kind kind;
	struct func sites[MAX_FUNCS];
	int nr_sites;
	/* The function that it redirects to, calls, or that the sites call. */
	struct func func;
	/* DIRECT: takes the place of func where an IPMODIFY ops (a livepatch) is attached too; no name: it cannot share. */
	struct func shared;
	unsigned long flags;
	/* While it is registered: */
	unsigned long address, shared_address;
	unsigned long called_now;	/* DIRECT: address or shared_address, or what `modify` has said */
	atomic64_t calls;
};
static struct kit_ops opses[MAX_OPS];
static int nr_opses;

static void notrace count_call(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	struct kit_ops *o = container_of(ops, struct kit_ops, ops);

	atomic64_inc(&o->calls);
	if (o->kind == REDIRECTS)
		ftrace_regs_set_instruction_pointer(fregs, o->address);
}

/* The function of the scenario is compiled with calls of klpkit_block(), which must do nothing in a call-back. */
static void notrace call_guest(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	struct kit_ops *o = container_of(ops, struct kit_ops, ops);
	struct kit_task *t = in_task() ? kit_current() : NULL;
	bool was = t && t->in_callback;

	if (t)
		t->in_callback = true;
	((ftrace_func_t)o->address)(ip, parent_ip, ops, fregs);
	if (t)
		t->in_callback = was;
}

/*
 * An IPMODIFY ops comes to a site of a direct one, or leaves it; as bpf_tramp_ftrace_ops_func() in kernel/bpf/trampoline.c. ftrace holds
 * direct_mutex.
 */
static int direct_shares(struct ftrace_ops *ops, enum ftrace_ops_cmd cmd)
{
	struct kit_ops *o = container_of(ops, struct kit_ops, ops);
	unsigned long wanted = o->address;

	if (cmd == FTRACE_OPS_CMD_ENABLE_SHARE_IPMODIFY_SELF)
		return o->called_now == o->shared_address ? 0 : -EAGAIN;
	if (cmd == FTRACE_OPS_CMD_ENABLE_SHARE_IPMODIFY_PEER)
		wanted = o->shared_address;
	if (o->called_now == wanted)
		return 0;
	o->called_now = wanted;
	return modify_ftrace_direct_nolock(ops, wanted);
}

static struct kit_ops *find_ops(const char *name)
{
	int i;

	for (i = 0; i < nr_opses; i++)
		if (!strcmp(opses[i].name, name))
			return &opses[i];
	return NULL;
}

static const struct {
	const char *name;
	unsigned long flag;
} ops_flags[] = {
	{ "SAVE_REGS", FTRACE_OPS_FL_SAVE_REGS }, { "IPMODIFY", FTRACE_OPS_FL_IPMODIFY }, { "RECURSION", FTRACE_OPS_FL_RECURSION },
	{ "RCU", FTRACE_OPS_FL_RCU }, { "PERMANENT", FTRACE_OPS_FL_PERMANENT },
};

/* -EAGAIN: a livepatch is there already, and the other function can share with it. */
static int register_direct(struct kit_ops *o)
{
	int ret;

	o->ops.ops_func = o->shared_address ? direct_shares : NULL;
	o->called_now = o->address;
	ret = register_ftrace_direct(&o->ops, o->called_now);
	if (ret != -EAGAIN)
		return ret;
	o->ops.func = NULL;
	o->ops.trampoline = 0;
	o->called_now = o->shared_address;
	return register_ftrace_direct(&o->ops, o->called_now);
}

static int register_ops(struct kit_ops *o)
{
	int i, ret;

	if (o->ops.flags & FTRACE_OPS_FL_ENABLED)
		return -EBUSY;
	/* A new one each time: ftrace leaves flags of its own in it. */
	memset(&o->ops, 0, sizeof(o->ops));
	o->ops.func = o->kind == DIRECT ? NULL : o->kind == CALLS ? call_guest : count_call;
	o->ops.flags = o->flags;
	for (i = 0; i < o->nr_sites; i++) {
		unsigned long site = address_of(&o->sites[i]);

		ret = site ? ftrace_set_filter_ip(&o->ops, site, 0, 0) : -ENOENT;
		if (ret)
			return ret;
	}
	o->address = o->kind == COUNTS ? 0 : address_of(&o->func);
	o->shared_address = o->shared.name[0] ? address_of(&o->shared) : 0;
	if (o->kind != COUNTS && !o->address)
		return -ENOENT;
	atomic64_set(&o->calls, 0);
	ret = o->kind == DIRECT ? register_direct(o) : register_ftrace_function(&o->ops);
	if (ret)
		ftrace_free_filter(&o->ops);
	return ret;
}

static int unregister_ops(struct kit_ops *o)
{
	int ret;

	if (!(o->ops.flags & FTRACE_OPS_FL_ENABLED))
		return -EINVAL;
	if (o->kind == DIRECT)
		return unregister_ftrace_direct(&o->ops, o->called_now, true);
	ret = unregister_ftrace_function(&o->ops);
	ftrace_free_filter(&o->ops);
	return ret;
}

static int modify_ops(struct kit_ops *o, const struct func *func)
{
	unsigned long address = address_of(func);
	int ret;

	if (!address)
		return -ENOENT;
	if (o->kind != DIRECT || !(o->ops.flags & FTRACE_OPS_FL_ENABLED))
		return -EINVAL;
	ret = modify_ftrace_direct(&o->ops, address);
	if (!ret)
		o->called_now = address;
	return ret;
}

/* "ops NAME WORD ...": what it is (flags=A,B ip=FUNC func=FUNC direct=FUNC shared=FUNC), and its sites; without a site: all functions. */
int declare_ops(const char *name, char *rest)
{
	struct kit_ops *o = &opses[nr_opses];
	char *word, *value;
	int i, ret = 0;

	if (nr_opses == ARRAY_SIZE(opses))
		return -ENOSPC;
	strscpy(o->name, name, sizeof(o->name));
	while (!ret && (word = strsep(&rest, " "))) {
		value = strchr(word, '=');
		if (!value) {
			ret = o->nr_sites == MAX_FUNCS ? -ENOSPC : read_func(&o->sites[o->nr_sites++], word);
			continue;
		}
		*value++ = '\0';
		if (!strcmp(word, "flags")) {
			for (i = 0; i < ARRAY_SIZE(ops_flags); i++)
				if (strstr(value, ops_flags[i].name))
					o->flags |= ops_flags[i].flag;
			continue;
		}
		if (!strcmp(word, "shared")) {
			ret = read_func(&o->shared, value);
			continue;
		}
		o->kind = !strcmp(word, "ip") ? REDIRECTS : !strcmp(word, "func") ? CALLS : DIRECT;
		ret = read_func(&o->func, value);
	}
	if (!ret)
		nr_opses++;
	return ret;
}

/* "register", "unregister", "modify" with OBJECT:FUNC behind the name. */
int ops_command(const char *verb, const char *name, char *rest)
{
	struct kit_ops *o = find_ops(name);
	struct func func;

	if (!o)
		return -ENOENT;
	if (!strcmp(verb, "register"))
		return register_ops(o);
	if (!strcmp(verb, "unregister"))
		return unregister_ops(o);
	if (!strcmp(verb, "modify"))
		return rest ? read_func(&func, rest) ?: modify_ops(o, &func) : -EINVAL;
	return -EINVAL;
}

void show_calls(struct seq_file *m)
{
	int i;

	for (i = 0; i < nr_opses; i++)
		seq_printf(m, "calls %s %lld\n", opses[i].name, (long long)atomic64_read(&opses[i].calls));
}
