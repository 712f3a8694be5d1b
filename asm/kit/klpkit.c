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

#include <linux/delay.h>
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/proc_fs.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include "harness.h"

#define PACE_MS 4	/* the pause of a task between two rounds of calls */

static struct kit_task tasks[MAX_TASKS];
static int nr_tasks;
static struct func watched[MAX_FUNCS];
static int nr_watched;
static bool may_sleep;
static u64 last_value;
static DEFINE_MUTEX(kit_mutex);

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

unsigned long address_of(const struct func *func)
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
	if (plus && sscanf(plus, "+0x%lx", &offset) == 1)
		*plus = '\0';
	strscpy(name, text, SYMBOL);
	return ip - offset;
}

/* ---- the tasks' own side ---- */

struct kit_task *kit_current(void)
{
	int i, n = smp_load_acquire(&nr_tasks);	/* pairs with the store in kit_write() */

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
	/* The views are written before; pairs with the load in kit_show(). */
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
		/* `in` and `woken` are written before; pairs with the load in wait_for(). */
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
		/* As in klpkit_block(). */
		smp_store_release(&t->asleep, true);
		if (sleep_until(t, &t->woken, false))
			t->parked = false;
		t->asleep = false;
	}
	/* Pairs with the store in call_in(), which has written the function and its arguments. */
	if (smp_load_acquire(&t->call_wanted)) {
		t->value = call(t, &t->call, t->args);
		/* The value is written before; pairs with the load in wait_for(). */
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

/* ---- commands ---- */

int read_func(struct func *func, char *text)
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
	/* Pairs with the stores of the task: what it has written before is there, too. */
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

/* Commands about the kit: "watch OBJECT:FUNC", "may_sleep 0|1", "ops ...", "[un]register NAME", "modify NAME OBJECT:FUNC". */
static int kit_command(const char *verb, char *name, char *rest)
{
	if (!strcmp(verb, "may_sleep")) {
		WRITE_ONCE(may_sleep, name[0] == '1');
		return 0;
	}
	if (!strcmp(verb, "watch"))
		return nr_watched == MAX_FUNCS ? -ENOSPC : read_func(&watched[nr_watched], name) ?: (nr_watched++, 0);
	if (!strcmp(verb, "ops"))
		return declare_ops(name, rest);
	return ops_command(verb, name, rest);
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
	/* Pairs with the load in visit(). */
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
			/* The name is written before; pairs with the load in kit_current(). */
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
		/* Pairs with the store in answer(): its views are there, too. */
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

/* /proc/klpkit_numbers: "value 1106", "calls NAME N" for each ftrace_ops, "pid NAME N" for each task. Reading it disturbs no task. */
static int numbers_show(struct seq_file *m, void *v)
{
	int i;

	seq_printf(m, "value %lld\n", (long long)last_value);
	show_calls(m);
	for (i = 0; i < nr_tasks; i++)
		if (alive(&tasks[i]))
			seq_printf(m, "pid %s %d\n", tasks[i].name, tasks[i].task->pid);
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
