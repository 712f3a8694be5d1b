// SPDX-License-Identifier: GPL-2.0-only
/*
 * klpkit: the tasks of a scenario on a real kernel, and a look at them.
 *
 * The functions of the scenario, and their replacements, are compiled with -fsanitize-coverage=trace-pc. gcc then calls a function in
 * every block, which here is klpkit_block(). It may sleep: so a task sleeps inside of any function,
 * although the source of the function has no sleep in it and is not changed. (The call is an ordinary one behind the function's prologue, so
 * that the frame of the function is on the stack, where the kernel's reliable stack walk finds it.)
 *
 * Commands are lines written to /proc/klpkit; reading it gives one line for each task. run.sh has all of them.
 */
#define pr_fmt(fmt) "klpkit: " fmt

#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/ftrace.h>
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/proc_fs.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include "klpkit.h"

#define MAX_TASKS 64
#define MAX_FUNCS 64
#define MAX_OPS 16
#define SYMBOL 96
#define PACE_MS 4	/* the pause of a task between two rounds of calls */

/* A function by name. `object`: "vmlinux" or a module; it is looked up at each use, because modules come and go. */
struct func {
	char object[MODULE_NAME_LEN];
	char name[64];
};

struct kit_task {
	char name[KLPKIT_NAME];
	bool kthread, used, gone, interruptible;
	struct task_struct *task;
	struct func calls[MAX_FUNCS];
	int nr_calls;
	/* Sleeps in any of these implementations, if `may_sleep` is set. */
	char bodies[MAX_FUNCS][64];
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

static struct kit_task tasks[MAX_TASKS];
static int nr_tasks;
static struct func watched[MAX_FUNCS];
static int nr_watched;
static bool may_sleep;
static u64 last_value;
static DEFINE_MUTEX(kit_mutex);

void klpkit_probe(unsigned long *save, unsigned long func);
void klpkit_leave(unsigned long *save);

/* ---- symbols ---- */

static unsigned long (*lookup_name)(const char *name);

/* kallsyms_lookup_name() is not exported; a kprobe knows the address of any function. */
static int find_lookup_name(void)
{
	struct kprobe kp = { .symbol_name = "kallsyms_lookup_name" };
	int ret = register_kprobe(&kp);

	if (ret)
		return ret;
	lookup_name = (void *)kp.addr;
	unregister_kprobe(&kp);
	return 0;
}

static unsigned long address_of(const struct func *func)
{
	char name[SYMBOL + MODULE_NAME_LEN];

	if (!strcmp(func->object, "vmlinux"))
		return lookup_name(func->name);
	snprintf(name, sizeof(name), "%s:%s", func->object, func->name);
	return lookup_name(name);
}

/* "lp2_funcB+0x9/0x40 [lp2]" -> name "lp2_funcB", start of the function. */
static unsigned long symbol_of(unsigned long ip, char *name, char *module)
{
	char text[KSYM_SYMBOL_LEN];
	unsigned long offset = 0;
	char *plus, *bracket;

	sprint_symbol(text, ip);
	bracket = strchr(text, '[');
	if (module) {
		*module = '\0';
		if (bracket)
			strscpy(module, bracket + 1, MODULE_NAME_LEN);
		if (strchr(module, ']'))
			*strchr(module, ']') = '\0';
	}
	plus = strchr(text, '+');
	if (plus) {
		sscanf(plus, "+0x%lx", &offset);
		*plus = '\0';
	}
	strscpy(name, text, SYMBOL);
	return ip - offset;
}

/* ---- the tasks' own side ---- */

static struct kit_task *kit_current(void)
{
	int i, n = READ_ONCE(nr_tasks);

	for (i = 0; i < n; i++)
		if (READ_ONCE(tasks[i].task) == current && !tasks[i].gone)
			return &tasks[i];
	return NULL;
}

/* Which implementation of a function this task would run now. */
static void look(struct kit_task *t, const struct func *func, char *view)
{
	unsigned long address = address_of(func), start;
	char name[SYMBOL], module[MODULE_NAME_LEN];
	size_t prefix;

	if (!address) {
		strscpy(view, "-", SYMBOL);
		return;
	}
	t->probe_ip = 0;
	t->probing = true;
	barrier();
	klpkit_probe(&t->probe_rsp, address);
	t->probing = false;
	if (!t->probe_ip) {
		strscpy(view, "?", SYMBOL);
		return;
	}
	start = symbol_of(t->probe_ip, name, module);
	prefix = strlen(module);
	/* lp2_funcB of lp2 is "lp2" for funcB. */
	if (start == address)
		strscpy(view, "orig", SYMBOL);
	else if (prefix && !strncmp(name, module, prefix) && name[prefix] == '_' && !strcmp(name + prefix + 1, func->name))
		strscpy(view, module, SYMBOL);
	else
		strscpy(view, name, SYMBOL);
}

static void answer(struct kit_task *t)
{
	int i, asked = READ_ONCE(t->asked);

	if (asked == t->answered)
		return;
	for (i = 0; i < nr_watched; i++)
		look(t, &watched[i], t->views[i]);
	smp_store_release(&t->answered, asked);
}

/* Sleeps until *until is set; answers meanwhile. False: something else ended the sleep. */
static bool sleep_until(struct kit_task *t, const bool *until, bool interruptible)
{
	for (;;) {
		set_current_state(interruptible ? TASK_INTERRUPTIBLE : TASK_IDLE);
		if (READ_ONCE(*until) || READ_ONCE(t->exits))
			break;
		/* A parked task makes a call, and is parked again. */
		if (!t->in[0] && READ_ONCE(t->call_wanted))
			break;
		if (READ_ONCE(t->asked) != t->answered) {
			__set_current_state(TASK_RUNNING);
			answer(t);
			continue;
		}
		if (interruptible && signal_pending(current))
			break;
		schedule();
		/* A kthread gets no signal: livepatch only wakes it up. */
		if (interruptible && t->kthread && READ_ONCE(t->asked) == t->answered && !READ_ONCE(*until))
			break;
	}
	__set_current_state(TASK_RUNNING);
	return READ_ONCE(*until);
}

/* The compiler calls this in every block of the functions of the scenario; traced.h gives it this name. */
#ifdef __clang__
#define klpkit_block __sanitizer_cov_trace_pc
#endif
void notrace klpkit_block(void);
void notrace klpkit_block(void)
{
	unsigned long ip = (unsigned long)__builtin_return_address(0);
	char name[SYMBOL];
	struct kit_task *t;
	int i;

	if (!in_task())
		return;
	t = kit_current();
	/* A call-back of an ftrace_ops is no implementation, and must not sleep. */
	if (!t || t->in_callback)
		return;
	if (t->probing) {
		t->probing = false;
		t->probe_ip = ip;
		klpkit_leave(&t->probe_rsp);
	}
	if (!READ_ONCE(may_sleep) || !t->nr_bodies || t->slept)
		return;
	symbol_of(ip, name, NULL);
	for (i = 0; i < t->nr_bodies; i++) {
		if (strcmp(name, t->bodies[i]))
			continue;
		strscpy(t->in, name, SYMBOL);
		t->slept = true;
		t->woken = false;
		smp_store_release(&t->asleep, true);
		sleep_until(t, &t->woken, t->interruptible);
		t->asleep = false;
		t->in[0] = '\0';
		return;
	}
}
EXPORT_SYMBOL(klpkit_block);

static u64 call(struct kit_task *t, const struct func *func, const unsigned long *args)
{
	typedef u64 (*call_t)(unsigned long, unsigned long, unsigned long, unsigned long, unsigned long, unsigned long);
	unsigned long address = address_of(func);

	/* Each call may sleep once. */
	t->slept = false;
	return address ? ((call_t)address)(args[0], args[1], args[2], args[3], args[4], args[5]) : 0;
}

/* One visit of a user task in the kernel, one turn of a kthread's loop. */
static void visit(struct kit_task *t)
{
	unsigned long args[6] = { current->pid };
	int i;

	answer(t);
	if (t->parked) {
		t->woken = false;
		smp_store_release(&t->asleep, true);
		if (sleep_until(t, &t->woken, false))
			t->parked = false;
		t->asleep = false;
	}
	if (smp_load_acquire(&t->call_wanted)) {
		t->value = call(t, &t->call, t->args);
		smp_store_release(&t->call_wanted, false);
	}
	for (i = 0; i < t->nr_calls && !READ_ONCE(t->exits) && !READ_ONCE(t->parked); i++)
		call(t, &t->calls[i], args);
	if (READ_ONCE(t->exits) || READ_ONCE(t->forks) || READ_ONCE(t->call_wanted))
		return;
	if (t->kthread)
		schedule_timeout_idle(msecs_to_jiffies(PACE_MS));
	else
		schedule_timeout_interruptible(msecs_to_jiffies(PACE_MS));
}

static int kthread_loop(void *data)
{
	struct kit_task *t = data;

	while (!READ_ONCE(t->exits))
		visit(t);
	WRITE_ONCE(t->gone, true);
	module_put_and_kthread_exit(0);
	return 0;
}

static struct kit_task *find_task(const char *name)
{
	int i;

	for (i = nr_tasks - 1; i >= 0; i--)
		if (!tasks[i].gone && !strcmp(tasks[i].name, name))
			return &tasks[i];
	return NULL;
}

static void bind(struct kit_task *t, struct task_struct *task)
{
	get_task_struct(task);
	WRITE_ONCE(t->task, task);
	t->used = true;
}

static long kit_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct klpkit_visit v;
	struct kit_task *t;

	if (cmd != KLPKIT_ENTER)
		return -ENOTTY;
	if (copy_from_user(&v, (void __user *)arg, sizeof(v)))
		return -EFAULT;
	v.name[KLPKIT_NAME - 1] = '\0';
	mutex_lock(&kit_mutex);
	t = find_task(v.name);
	if (t && !t->used)
		bind(t, current);
	mutex_unlock(&kit_mutex);
	if (!t || t->task != current) {
		/* Not declared (any more): a process of an earlier run. */
		v.order = KLPKIT_EXIT;
		return copy_to_user((void __user *)arg, &v, sizeof(v)) ? -EFAULT : 0;
	}
	visit(t);
	v.order = KLPKIT_AGAIN;
	if (READ_ONCE(t->exits)) {
		v.order = KLPKIT_EXIT;
		WRITE_ONCE(t->gone, true);
	} else if (READ_ONCE(t->forks)) {
		v.order = KLPKIT_FORK;
		memcpy(v.child, t->child, sizeof(v.child));
		v.cpu = t->child_cpu;
		WRITE_ONCE(t->forks, false);
	}
	return copy_to_user((void __user *)arg, &v, sizeof(v)) ? -EFAULT : 0;
}

/* ---- ftrace_ops of the scenario ---- */

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

/* ---- commands ---- */

static int read_func(struct func *func, char *text)
{
	char *colon = strchr(text, ':');

	if (!colon)
		return -EINVAL;
	*colon = '\0';
	strscpy(func->object, text, sizeof(func->object));
	strscpy(func->name, colon + 1, sizeof(func->name));
	return 0;
}

static int read_funcs(struct func *funcs, char *rest)
{
	int n = 0;
	char *word;

	while ((word = strsep(&rest, " ")) && n < MAX_FUNCS)
		if (*word && !read_func(&funcs[n], word))
			n++;
	return n;
}

static int wait_for(const bool *flag, bool value, int ms)
{
	while (smp_load_acquire(flag) != value) {
		if (ms-- <= 0 || fatal_signal_pending(current))
			return -ETIMEDOUT;
		msleep(1);
	}
	return 0;
}

static void poke(struct kit_task *t)
{
	if (t->task)
		wake_up_process(t->task);
}

static int start_kthread(struct kit_task *t, int cpu)
{
	struct task_struct *task;

	__module_get(THIS_MODULE);
	task = kthread_create(kthread_loop, t, "%s", t->name);
	if (IS_ERR(task)) {
		module_put(THIS_MODULE);
		return PTR_ERR(task);
	}
	if (cpu >= 0)
		kthread_bind(task, cpu);
	t->kthread = true;
	bind(t, task);
	wake_up_process(task);
	return 0;
}

/* "ops NAME WORD ...": what it is (flags=A,B ip=FUNC func=FUNC direct=FUNC shared=FUNC), and its sites; without a site: all functions. */
static int declare_ops(const char *name, char *rest)
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

/* Commands about the kit: "watch OBJECT:FUNC", "may_sleep 0|1", "ops ...", "[un]register NAME", "modify NAME OBJECT:FUNC". */
static int kit_command(const char *verb, char *name, char *rest)
{
	struct func func;
	struct kit_ops *o;

	if (!strcmp(verb, "may_sleep")) {
		WRITE_ONCE(may_sleep, name[0] == '1');
		return 0;
	}
	if (!strcmp(verb, "watch"))
		return nr_watched == MAX_FUNCS ? -ENOSPC : read_func(&watched[nr_watched], name) ?: (nr_watched++, 0);
	if (!strcmp(verb, "ops"))
		return declare_ops(name, rest);
	o = find_ops(name);
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

/* "call NAME OBJECT:FUNC [ARGS]": without ARGS the pid is the argument. */
static int call_in(struct kit_task *t, char *rest)
{
	char *word = strsep(&rest, " ");
	int n = 0, ret;

	if (!word || read_func(&t->call, word))
		return -EINVAL;
	memset(t->args, 0, sizeof(t->args));
	t->args[0] = t->task->pid;
	while ((word = strsep(&rest, " ")) && n < 6)
		if (kstrtoul(word, 0, &t->args[n++]))
			return -EINVAL;
	smp_store_release(&t->call_wanted, true);
	poke(t);
	ret = wait_for(&t->call_wanted, false, 10000);
	last_value = t->value;
	return ret;
}

/* Commands about a task; `t` is NULL for a new one. */
static int task_command(const char *verb, struct kit_task *t, char *rest)
{
	char *word;
	int i;

	if (!strcmp(verb, "calls")) {
		t->nr_calls = read_funcs(t->calls, rest);
	} else if (!strcmp(verb, "sleeps")) {	/* sleeps NAME idle|interruptible BODY ... */
		word = strsep(&rest, " ");
		t->interruptible = word && !strcmp(word, "interruptible");
		for (i = 0; i < MAX_FUNCS && (word = strsep(&rest, " ")); i++)
			strscpy(t->bodies[i], word, sizeof(t->bodies[i]));
		t->nr_bodies = i;
	} else if (!strcmp(verb, "park")) {
		WRITE_ONCE(t->parked, true);
	} else if (!strcmp(verb, "kthread")) {	/* kthread NAME [CPU] */
		int cpu = -1;

		if (rest && kstrtoint(rest, 0, &cpu))
			return -EINVAL;
		return start_kthread(t, cpu);
	} else if (!strcmp(verb, "started")) {
		return wait_for(&t->used, true, 10000);
	} else if (!strcmp(verb, "fork")) {	/* fork PARENT CHILD [CPU] */
		word = strsep(&rest, " ");
		strscpy(t->child, word ?: "", sizeof(t->child));
		t->child_cpu = -1;
		if (rest && kstrtoint(rest, 0, &t->child_cpu))
			return -EINVAL;
		WRITE_ONCE(t->forks, true);
		poke(t);
	} else if (!strcmp(verb, "asleep")) {
		/* A task without a function to sleep in pauses after each round. */
		return t->nr_bodies || t->parked ? wait_for(&t->asleep, true, 20000) : 0;
	} else if (!strcmp(verb, "wake")) {
		WRITE_ONCE(t->woken, true);
		poke(t);
	} else if (!strcmp(verb, "exit")) {
		WRITE_ONCE(t->exits, true);
		poke(t);
		return wait_for(&t->gone, true, 10000);
	} else if (!strcmp(verb, "call")) {
		return call_in(t, rest);
	} else {
		return -EINVAL;
	}
	return 0;
}

static ssize_t kit_write(struct file *file, const char __user *user, size_t len, loff_t *pos)
{
	char *text = memdup_user_nul(user, len), *rest, *verb, *name;
	struct kit_task *t;
	int ret;

	if (IS_ERR(text))
		return PTR_ERR(text);
	rest = strim(text);
	verb = strsep(&rest, " ");
	name = strsep(&rest, " ");
	if (!name) {
		kfree(text);
		return -EINVAL;
	}
	mutex_lock(&kit_mutex);
	t = find_task(name);
	if (!strcmp(verb, "task")) {
		ret = t ? -EEXIST : nr_tasks == MAX_TASKS ? -ENOSPC : 0;
		if (!ret) {
			strscpy(tasks[nr_tasks].name, name, KLPKIT_NAME);
			smp_store_release(&nr_tasks, nr_tasks + 1);
		}
		mutex_unlock(&kit_mutex);
	} else {
		/* A command may wait for its task, which takes the mutex at each visit. */
		mutex_unlock(&kit_mutex);
		ret = t ? task_command(verb, t, rest) : kit_command(verb, name, rest);
	}
	kfree(text);
	return ret ?: len;
}

static bool alive(struct kit_task *t)
{
	return t->used && !READ_ONCE(t->gone) && !(READ_ONCE(t->task->flags) & PF_EXITING);
}

static int kit_show(struct seq_file *m, void *v)
{
	int i, k, ms;

	mutex_lock(&kit_mutex);
	for (i = 0; i < nr_tasks; i++) {
		if (!alive(&tasks[i]))
			continue;
		WRITE_ONCE(tasks[i].asked, tasks[i].asked + 1);
		poke(&tasks[i]);
	}
	mutex_unlock(&kit_mutex);
	for (i = 0; i < nr_tasks; i++) {
		struct kit_task *t = &tasks[i];

		if (!alive(t))
			continue;
		for (ms = 0; ms < 2000 && smp_load_acquire(&t->answered) != t->asked && alive(t); ms++)
			msleep(1);
		seq_printf(m, "%-8s pid=%-4d %-7s in=%-18s patch_state=%2d pending=%d", t->name, t->task->pid,
			   t->kthread ? "kthread" : "user", t->in[0] ? t->in : t->asleep ? "(no patched func)" : "-",
			   READ_ONCE(t->task->patch_state), test_tsk_thread_flag(t->task, TIF_PATCH_PENDING));
		for (k = 0; k < nr_watched; k++) {
			bool in_module = strcmp(watched[k].object, "vmlinux") && strcmp(watched[k].object, "klp_target");

			seq_printf(m, " %s%s%s=%s", in_module ? watched[k].object : "", in_module ? ":" : "", watched[k].name,
				   t->answered == t->asked ? t->views[k] : "?");
		}
		seq_putc(m, '\n');
	}
	return 0;
}

static int kit_open(struct inode *inode, struct file *file)
{
	return single_open(file, kit_show, NULL);
}

static const struct proc_ops kit_fops = {
	.proc_open = kit_open, .proc_read = seq_read, .proc_lseek = seq_lseek, .proc_release = single_release,
	.proc_write = kit_write, .proc_ioctl = kit_ioctl,
};

/* /proc/klpkit_numbers: "value 1106", then "calls NAME N" for each ftrace_ops. */
static int numbers_show(struct seq_file *m, void *v)
{
	int i;

	seq_printf(m, "value %lld\n", (long long)last_value);
	for (i = 0; i < nr_opses; i++)
		seq_printf(m, "calls %s %lld\n", opses[i].name, (long long)atomic64_read(&opses[i].calls));
	return 0;
}

static int __init kit_init(void)
{
	int ret = find_lookup_name();

	if (ret)
		return ret;
	if (!proc_create("klpkit", 0600, NULL, &kit_fops))
		return -ENOMEM;
	proc_create_single("klpkit_numbers", 0400, NULL, numbers_show);
	return 0;
}

static void __exit kit_exit(void)
{
	int i;

	remove_proc_entry("klpkit", NULL);
	remove_proc_entry("klpkit_numbers", NULL);
	for (i = 0; i < nr_tasks; i++)
		if (tasks[i].task)
			put_task_struct(tasks[i].task);
}

module_init(kit_init);
module_exit(kit_exit);
MODULE_DESCRIPTION("the tasks of a klpemu scenario on a real kernel");
MODULE_LICENSE("GPL");
