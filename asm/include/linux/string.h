/* SPDX-License-Identifier: GPL-2.0-only */
/* Text and memory. */
#ifndef _LINUX_STRING_H
#define _LINUX_STRING_H

#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/types.h>

void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
void *memmove(void *to, const void *from, size_t size);
int memcmp(const void *a, const void *b, size_t size);
void *memchr(const void *start, int value, size_t size);
size_t strlen(const char *text);
size_t strnlen(const char *text, size_t size);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t size);
int strcasecmp(const char *a, const char *b);
int strncasecmp(const char *a, const char *b, size_t size);
char *strcpy(char *to, const char *from);
char *strncpy(char *to, const char *from, size_t size);
char *strcat(char *to, const char *from);
char *strncat(char *to, const char *from, size_t size);
size_t strlcat(char *to, const char *from, size_t size);
char *strchr(const char *text, int c);
char *strchrnul(const char *text, int c);
char *strrchr(const char *text, int c);
char *strnchr(const char *text, size_t size, int c);
char *strreplace(char *text, char from, char to);
void *memscan(void *start, int c, size_t size);
void *memchr_inv(const void *start, int c, size_t size);
int match_string(const char *const *array, size_t n, const char *text);
char *strstr(const char *text, const char *wanted);
char *strnstr(const char *text, const char *wanted, size_t size);
size_t strspn(const char *text, const char *accept);
size_t strcspn(const char *text, const char *reject);
char *strpbrk(const char *text, const char *accept);
char *strsep(char **text, const char *delimiters);
char *skip_spaces(const char *text);
char *strim(char *text);
bool sysfs_streq(const char *a, const char *b);

/* The length, or -E2BIG if the text was cut. */
ssize_t sized_strscpy(char *to, const char *from, size_t size);
#define __strscpy_2(to, from) sized_strscpy(to, from, sizeof(to))
#define __strscpy_3(to, from, size) sized_strscpy(to, from, size)
#define __strscpy_pick(a, b, c, name, ...) name
#define strscpy(args...) __strscpy_pick(args, __strscpy_3, __strscpy_2)(args)

char *kstrdup(const char *text, gfp_t flags);
char *kstrndup(const char *text, size_t max, gfp_t flags);
void *kmemdup(const void *from, size_t size, gfp_t flags);

static inline const char *kbasename(const char *path)
{
	const char *tail = strrchr(path, '/');

	return tail ? tail + 1 : path;
}

static inline bool strstarts(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static inline size_t str_has_prefix(const char *text, const char *prefix)
{
	size_t length = strlen(prefix);

	return strncmp(text, prefix, length) == 0 ? length : 0;
}

#endif
