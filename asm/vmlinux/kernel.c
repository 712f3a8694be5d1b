// SPDX-License-Identifier: GPL-2.0-only
/*
 * Symbols of vmlinux for modules in C, besides the functions in TypeScript (src/linux/exports, src/linux/module): variables, strings, and
 * functions that livepatches often patch. Put it into `vmlinux:` of a scenario that loads such modules.
 */
#include <linux/ctype.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/kobject.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

/* The machine writes it at each tick, if it exists. */
unsigned long volatile jiffies;

/* Levels of the console: the current one, of messages without one, the lowest and the one at boot. */
int console_printk[4] = { 7, 4, 1, 7 };

/* /sys/kernel */
static struct kobject kernel_directory = { .name = "kernel" };
struct kobject *kernel_kobj = &kernel_directory;

#define PARAM_OPS(type, flags_, free_) \
	const struct kernel_param_ops param_ops_##type = { \
		.flags = flags_, .set = param_set_##type, .get = param_get_##type, .free = free_, \
	}
PARAM_OPS(bool, KERNEL_PARAM_OPS_FL_NOARG, NULL);
PARAM_OPS(byte, 0, NULL);
PARAM_OPS(short, 0, NULL);
PARAM_OPS(ushort, 0, NULL);
PARAM_OPS(int, 0, NULL);
PARAM_OPS(uint, 0, NULL);
PARAM_OPS(long, 0, NULL);
PARAM_OPS(ulong, 0, NULL);
PARAM_OPS(ullong, 0, NULL);
PARAM_OPS(hexint, 0, NULL);
PARAM_OPS(charp, 0, param_free_charp);
PARAM_OPS(invbool, 0, NULL);

const struct kernel_param_ops param_ops_bint = {
	.flags = KERNEL_PARAM_OPS_FL_NOARG, .set = param_set_bint, .get = param_get_int,
};
const struct kernel_param_ops param_ops_bool_enable_only = {
	.flags = KERNEL_PARAM_OPS_FL_NOARG, .set = param_set_bool_enable_only, .get = param_get_bool,
};
const struct kernel_param_ops param_ops_string = { .set = param_set_copystring, .get = param_get_string };

int param_array_set(const char *val, const struct kernel_param *kp);
int param_array_get(char *buffer, const struct kernel_param *kp);
void param_array_free(void *arg);
const struct kernel_param_ops param_array_ops = {
	.set = param_array_set, .get = param_array_get, .free = param_array_free,
};

/* /proc/cmdline and /proc/meminfo: they show the effect of a livepatch at once. */
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

/* Not loops: gcc would replace a loop by a call of the same function. */
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

/* lib/string.c and its relatives. barrier() keeps gcc from finding a call of the function itself in its loop. */

void *memmove(void *to, const void *from, size_t size)
{
	char *d = to;
	const char *s = from;

	if (d <= s)
		return memcpy(to, from, size);
	while (size--) {
		d[size] = s[size];
		barrier();
	}
	return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
	const unsigned char *x = a, *y = b;

	for (; size; size--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

void *memchr(const void *start, int value, size_t size)
{
	const unsigned char *at = start;

	for (; size; size--, at++)
		if (*at == (unsigned char)value)
			return (void *)at;
	return NULL;
}

size_t strnlen(const char *text, size_t size)
{
	size_t length = 0;

	while (length < size && text[length]) {
		length++;
		barrier();
	}
	return length;
}

int strncmp(const char *a, const char *b, size_t size)
{
	for (; size; size--, a++, b++)
		if (*a != *b || !*a)
			return (unsigned char)*a - (unsigned char)*b;
	return 0;
}

int strncasecmp(const char *a, const char *b, size_t size)
{
	for (; size; size--, a++, b++) {
		int x = tolower((unsigned char)*a), y = tolower((unsigned char)*b);

		if (x != y || !x)
			return x - y;
	}
	return 0;
}

int strcasecmp(const char *a, const char *b)
{
	return strncasecmp(a, b, ~(size_t)0);
}

char *strcpy(char *to, const char *from)
{
	memcpy(to, from, strlen(from) + 1);
	return to;
}

char *strncpy(char *to, const char *from, size_t size)
{
	size_t length = strnlen(from, size);

	memcpy(to, from, length);
	memset(to + length, 0, size - length);
	return to;
}

ssize_t sized_strscpy(char *to, const char *from, size_t size)
{
	size_t length;

	if (!size || size > INT_MAX)
		return -E2BIG;
	length = strnlen(from, size);
	if (length < size) {
		memcpy(to, from, length + 1);
		return length;
	}
	memcpy(to, from, size - 1);
	to[size - 1] = '\0';
	return -E2BIG;
}

char *strcat(char *to, const char *from)
{
	strcpy(to + strlen(to), from);
	return to;
}

size_t strlcat(char *to, const char *from, size_t size)
{
	size_t before = strnlen(to, size), length = strlen(from);

	if (before < size)
		sized_strscpy(to + before, from, size - before);
	return before + length;
}

char *strchrnul(const char *text, int c)
{
	while (*text && *text != (char)c)
		text++;
	return (char *)text;
}

char *strchr(const char *text, int c)
{
	text = strchrnul(text, c);
	return *text == (char)c ? (char *)text : NULL;
}

char *strrchr(const char *text, int c)
{
	const char *last = NULL;

	do {
		if (*text == (char)c)
			last = text;
	} while (*text++);
	return (char *)last;
}

char *strnstr(const char *text, const char *wanted, size_t size)
{
	size_t length = strlen(wanted);

	for (; size >= length; size--, text++) {
		if (!memcmp(text, wanted, length))
			return (char *)text;
		if (!*text)
			break;
	}
	return NULL;
}

char *strstr(const char *text, const char *wanted)
{
	return strnstr(text, wanted, strlen(text));
}

size_t strcspn(const char *text, const char *reject)
{
	size_t length = 0;

	while (text[length] && !strchr(reject, text[length]))
		length++;
	return length;
}

size_t strspn(const char *text, const char *accept)
{
	size_t length = 0;

	while (text[length] && strchr(accept, text[length]))
		length++;
	return length;
}

char *strpbrk(const char *text, const char *accept)
{
	text += strcspn(text, accept);
	return *text ? (char *)text : NULL;
}

char *strsep(char **text, const char *delimiters)
{
	char *start = *text, *end;

	if (!start)
		return NULL;
	end = strpbrk(start, delimiters);
	if (end)
		*end++ = '\0';
	*text = end;
	return start;
}

char *skip_spaces(const char *text)
{
	while (isspace((unsigned char)*text))
		text++;
	return (char *)text;
}

char *strim(char *text)
{
	size_t length = strlen(text);

	while (length && isspace((unsigned char)text[length - 1]))
		length--;
	text[length] = '\0';
	return skip_spaces(text);
}

/* Equal, apart from a newline at the end. */
bool sysfs_streq(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	if (*a == *b)
		return true;
	return (!*a && *b == '\n' && !b[1]) || (*a == '\n' && !a[1] && !*b);
}

void *kmemdup(const void *from, size_t size, gfp_t flags)
{
	void *copy = kmalloc(size, flags);

	return copy ? memcpy(copy, from, size) : NULL;
}

char *kstrndup(const char *text, size_t max, gfp_t flags)
{
	size_t length;
	char *copy;

	if (!text)
		return NULL;
	length = strnlen(text, max);
	copy = kmalloc(length + 1, flags);
	if (!copy)
		return NULL;
	memcpy(copy, text, length);
	copy[length] = '\0';
	return copy;
}

char *kstrdup(const char *text, gfp_t flags)
{
	return kstrndup(text, ~(size_t)0, flags);
}

/* Reads digits from *text on; 0 or -ERANGE. Base 0: the prefix of the text decides. */
static int parse_digits(const char **text, unsigned int base, unsigned long long *result)
{
	const char *at = *text;
	bool hex = at[0] == '0' && tolower((unsigned char)at[1]) == 'x' && isxdigit((unsigned char)at[2]);
	int ret = 0;

	if (base == 0)
		base = hex ? 16 : at[0] == '0' ? 8 : 10;
	if (base == 16 && hex)
		at += 2;
	for (*result = 0; isxdigit((unsigned char)*at); at++) {
		unsigned int digit = isdigit((unsigned char)*at) ? *at - '0' : tolower((unsigned char)*at) - 'a' + 10;

		if (digit >= base)
			break;
		if (__builtin_mul_overflow(*result, base, result) || __builtin_add_overflow(*result, digit, result))
			ret = -ERANGE;
	}
	*text = at;
	return ret;
}

int kstrtoull(const char *text, unsigned int base, unsigned long long *result)
{
	const char *end;
	unsigned long long value;
	int ret;

	if (*text == '+')
		text++;
	end = text;
	ret = parse_digits(&end, base, &value);
	if (end == text)
		return -EINVAL;
	if (ret)
		return ret;
	if (*end == '\n')
		end++;
	if (*end)
		return -EINVAL;
	*result = value;
	return 0;
}

int kstrtoll(const char *text, unsigned int base, long long *result)
{
	unsigned long long value;
	bool negative = *text == '-';
	int ret = negative && text[1] == '+' ? -EINVAL : kstrtoull(text + negative, base, &value);

	if (ret)
		return ret;
	if (negative ? value > 1ULL << 63 : value >= 1ULL << 63)
		return -ERANGE;
	*result = negative ? -value : value;
	return 0;
}

int kstrtouint(const char *text, unsigned int base, unsigned int *result)
{
	unsigned long long value;
	int ret = kstrtoull(text, base, &value);

	if (ret)
		return ret;
	if (value != (unsigned int)value)
		return -ERANGE;
	*result = value;
	return 0;
}

int kstrtoint(const char *text, unsigned int base, int *result)
{
	long long value;
	int ret = kstrtoll(text, base, &value);

	if (ret)
		return ret;
	if (value != (int)value)
		return -ERANGE;
	*result = value;
	return 0;
}

int kstrtobool(const char *text, bool *result)
{
	int first, second;

	if (!text)
		return -EINVAL;
	first = tolower((unsigned char)text[0]);
	second = first ? tolower((unsigned char)text[1]) : 0;
	if (first == 'y' || first == 't' || first == '1' || (first == 'o' && second == 'n'))
		*result = true;
	else if (first == 'n' || first == 'f' || first == '0' || (first == 'o' && second == 'f'))
		*result = false;
	else
		return -EINVAL;
	return 0;
}

unsigned long simple_strtoul(const char *text, char **end, unsigned int base)
{
	unsigned long long value;

	parse_digits(&text, base, &value);
	if (end)
		*end = (char *)text;
	return value;
}

long simple_strtol(const char *text, char **end, unsigned int base)
{
	return *text == '-' ? -simple_strtoul(text + 1, end, base) : simple_strtoul(text, end, base);
}

#include "lib.h"
#include "text.h"
#include "notifier.h"
#include "rbtree.h"
#include "xarray.h"

/* lib/kobject.c: an attribute that has no show() or no store() is an I/O error. */
static ssize_t kobj_attr_show(struct kobject *kobj, struct attribute *attr, char *buf)
{
	struct kobj_attribute *own = container_of(attr, struct kobj_attribute, attr);

	return own->show ? own->show(kobj, own, buf) : -EIO;
}

static ssize_t kobj_attr_store(struct kobject *kobj, struct attribute *attr, const char *buf, size_t count)
{
	struct kobj_attribute *own = container_of(attr, struct kobj_attribute, attr);

	return own->store ? own->store(kobj, own, buf, count) : -EIO;
}

const struct sysfs_ops {
	ssize_t (*show)(struct kobject *kobj, struct attribute *attr, char *buf);
	ssize_t (*store)(struct kobject *kobj, struct attribute *attr, const char *buf, size_t count);
} kobj_sysfs_ops = { kobj_attr_show, kobj_attr_store };
