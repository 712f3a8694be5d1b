// SPDX-License-Identifier: GPL-2.0-only
/*
 * What modules in C expect of vmlinux besides the functions that are TypeScript (src/linux/exports, src/linux/module): variables, strings, and
 * functions that livepatches like to patch. Put it into `vmlinux:` of a scenario that loads such modules.
 */
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/kobject.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/seq_file.h>

/* Written by the machine at each tick, where it exists. */
unsigned long volatile jiffies;

/* Levels of the console: the current one, of messages without one, the lowest and the one at boot. */
int console_printk[4] = { 7, 4, 1, 7 };

/* /sys/kernel */
static struct kobject kernel_directory = { .name = "kernel" };
struct kobject *kernel_kobj = &kernel_directory;

/* A charp may hold a copy that was made when it was set. */
void param_free_charp(void *arg);

#define PARAM_OPS(type, flags_, free_) \
	int param_set_##type(const char *val, const struct kernel_param *kp); \
	int param_get_##type(char *buffer, const struct kernel_param *kp); \
	const struct kernel_param_ops param_ops_##type = { \
		.flags = flags_, .set = param_set_##type, .get = param_get_##type, .free = free_, \
	}
PARAM_OPS(bool, KERNEL_PARAM_OPS_FL_NOARG, NULL);
PARAM_OPS(int, 0, NULL);
PARAM_OPS(uint, 0, NULL);
PARAM_OPS(long, 0, NULL);
PARAM_OPS(ulong, 0, NULL);
PARAM_OPS(charp, 0, param_free_charp);

int param_array_set(const char *val, const struct kernel_param *kp);
int param_array_get(char *buffer, const struct kernel_param *kp);
const struct kernel_param_ops param_array_ops = { .set = param_array_set, .get = param_array_get };

/* /proc/cmdline and /proc/meminfo: whoever patches these sees at once whether it worked. */
noinline int cmdline_proc_show(struct seq_file *m, void *v)
{
	seq_puts(m, "BOOT_IMAGE=/vmlinuz root=/dev/vda1 quiet\n");
	return 0;
}

noinline int meminfo_proc_show(struct seq_file *m, void *v)
{
	seq_printf(m, "MemTotal:       %8lu kB\n", 65536ul);
	seq_printf(m, "MemFree:        %8lu kB\n", 32768ul);
	return 0;
}

noinline pid_t task_tgid_vnr(struct task_struct *task)
{
	return task->tgid;
}

noinline long __x64_sys_getpid(void)
{
	return task_tgid_vnr(current);
}

/* Not loops: gcc would turn them into calls of what they are. */
void *memcpy(void *to, const void *from, size_t size)
{
	void *start = to;

	__asm__ __volatile__("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
	return start;
}

void *memset(void *to, int value, size_t size)
{
	void *start = to;

	__asm__ __volatile__("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
	return start;
}

size_t strlen(const char *text)
{
	size_t length = 0;

	while (text[length]) {
		length++;
		barrier();
	}
	return length;
}

int strcmp(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return (unsigned char)*a - (unsigned char)*b;
}
