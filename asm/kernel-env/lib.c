// SPDX-License-Identifier: GPL-2.0-only
/* Small functions of the kernel's library. */
#define __NO_FORTIFY
#include <linux/errno.h>
#include <linux/types.h>
#include <asm/bitsperlong.h>

/* Not by <linux/string.h>: some of the names are macros there, and gcc has opinions about the others. */
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int kstrtobool(const char *s, bool *res);
unsigned long _find_next_bit(const unsigned long *addr, unsigned long nbits, unsigned long start);

size_t strlen(const char *s)
{
	const char *end = s;

	while (*end)
		end++;
	return end - s;
}

int strcmp(const char *a, const char *b)
{
	for (; *a && *a == *b; a++, b++)
		;
	return *a == *b ? 0 : (unsigned char)*a < (unsigned char)*b ? -1 : 1;
}

/* lib/kstrtox.c: only the first characters count. */
int kstrtobool(const char *s, bool *res)
{
	char first, second;

	if (!s)
		return -EINVAL;
	first = *s | 0x20;
	if (*s == '1' || first == 'y' || first == 't') {
		*res = true;
		return 0;
	}
	if (*s == '0' || first == 'n' || first == 'f') {
		*res = false;
		return 0;
	}
	if (first != 'o')
		return -EINVAL;
	second = s[1] | 0x20;
	if (second != 'n' && second != 'f')
		return -EINVAL;
	*res = second == 'n';
	return 0;
}

/* lib/find_bit.c: the first set bit from start on, or nbits. */
unsigned long _find_next_bit(const unsigned long *addr, unsigned long nbits, unsigned long start)
{
	for (; start < nbits; start++) {
		if (!(addr[start / BITS_PER_LONG] >> (start % BITS_PER_LONG)))
			start |= BITS_PER_LONG - 1;
		else if (addr[start / BITS_PER_LONG] >> (start % BITS_PER_LONG) & 1)
			return start;
	}
	return nbits;
}
