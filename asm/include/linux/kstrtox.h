/* SPDX-License-Identifier: GPL-2.0-only */
/* Numbers in text. 0, -EINVAL or -ERANGE. */
#ifndef _LINUX_KSTRTOX_H
#define _LINUX_KSTRTOX_H

#include <linux/errno.h>
#include <linux/types.h>

int kstrtoull(const char *text, unsigned int base, unsigned long long *result);
int kstrtoll(const char *text, unsigned int base, long long *result);
int kstrtouint(const char *text, unsigned int base, unsigned int *result);
int kstrtoint(const char *text, unsigned int base, int *result);
int kstrtou8(const char *text, unsigned int base, u8 *result);
int kstrtou16(const char *text, unsigned int base, u16 *result);
int kstrtos8(const char *text, unsigned int base, s8 *result);
int kstrtos16(const char *text, unsigned int base, s16 *result);
int kstrtobool(const char *text, bool *result);
unsigned long simple_strtoul(const char *text, char **end, unsigned int base);
long simple_strtol(const char *text, char **end, unsigned int base);

static inline int kstrtoul(const char *text, unsigned int base, unsigned long *result)
{
	return kstrtoull(text, base, (unsigned long long *)result);
}

static inline int kstrtol(const char *text, unsigned int base, long *result)
{
	return kstrtoll(text, base, (long long *)result);
}

#define kstrtou32 kstrtouint
#define kstrtos32 kstrtoint

static inline int kstrtou64(const char *text, unsigned int base, u64 *result)
{
	return kstrtoull(text, base, (unsigned long long *)result);
}

static inline int kstrtos64(const char *text, unsigned int base, s64 *result)
{
	return kstrtoll(text, base, (long long *)result);
}

#endif
