/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A part of kernel.c: what the kernel's headers call where those of asm/include have inline functions, so that a .ko finds it, and lib/
 * functions that modules use often.
 */
#include <linux/bsearch.h>
#include <linux/kernel.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/string.h>

/* lib/kstrtox.c */
#define KSTRTO(name, type, wide, parse) \
	int name(const char *text, unsigned int base, type *result); \
	int name(const char *text, unsigned int base, type *result) \
	{ \
		wide value; \
		int ret = parse(text, base, &value); \
\
		if (ret) \
			return ret; \
		if (value != (type)value) \
			return -ERANGE; \
		*result = value; \
		return 0; \
	}
KSTRTO(kstrtou8, u8, unsigned long long, kstrtoull)
KSTRTO(kstrtou16, u16, unsigned long long, kstrtoull)
KSTRTO(kstrtos8, s8, long long, kstrtoll)
KSTRTO(kstrtos16, s16, long long, kstrtoll)
KSTRTO(_kstrtoul, unsigned long, unsigned long long, kstrtoull)
KSTRTO(_kstrtol, long, long long, kstrtoll)

unsigned long long simple_strtoull(const char *text, char **end, unsigned int base);
unsigned long long simple_strtoull(const char *text, char **end, unsigned int base)
{
	return simple_strtoul(text, end, base);
}

long long simple_strtoll(const char *text, char **end, unsigned int base);
long long simple_strtoll(const char *text, char **end, unsigned int base)
{
	return simple_strtol(text, end, base);
}

/* lib/string.c, lib/string_helpers.c, mm/util.c */
char *strncat(char *to, const char *from, size_t size)
{
	size_t length = strnlen(from, size);
	char *end = to + strlen(to);

	memcpy(end, from, length);
	end[length] = '\0';
	return to;
}

char *strnchr(const char *text, size_t size, int c)
{
	for (; size--; text++) {
		if (*text == (char)c)
			return (char *)text;
		if (!*text)
			break;
	}
	return NULL;
}

char *strreplace(char *text, char from, char to)
{
	for (char *at = text; *at; at++)
		if (*at == from)
			*at = to;
	return text;
}

void *memscan(void *start, int c, size_t size)
{
	return memchr(start, c, size) ?: (char *)start + size;
}

void *memchr_inv(const void *start, int c, size_t size)
{
	for (const unsigned char *at = start; size--; at++)
		if (*at != (unsigned char)c)
			return (void *)at;
	return NULL;
}

int match_string(const char *const *array, size_t n, const char *text)
{
	for (size_t i = 0; i < n && array[i]; i++)
		if (!strcmp(array[i], text))
			return i;
	return -EINVAL;
}

void *kmemdup_nul(const char *text, size_t length, gfp_t flags);
void *kmemdup_nul(const char *text, size_t length, gfp_t flags)
{
	char *copy = text ? kmalloc(length + 1, flags) : NULL;

	if (!copy)
		return NULL;
	memcpy(copy, text, length);
	copy[length] = '\0';
	return copy;
}

/* lib/bitmap.c, lib/find_bit.c: a bitmap ends with its last long. */
#define HAS(map, bit) (((map)[(bit) / BITS_PER_LONG] >> ((bit) % BITS_PER_LONG)) & 1)
#define LONGS(bits) (((bits) + BITS_PER_LONG - 1) / BITS_PER_LONG)
#define FIND(name, condition) \
	unsigned long name(const unsigned long *map, unsigned long size, unsigned long bit); \
	unsigned long name(const unsigned long *map, unsigned long size, unsigned long bit) \
	{ \
		while (bit < size && !(condition)) \
			bit++; \
		return bit < size ? bit : size; \
	}
FIND(_find_next_bit, HAS(map, bit))
FIND(_find_next_zero_bit, !HAS(map, bit))

unsigned long _find_first_bit(const unsigned long *map, unsigned long size);
unsigned long _find_first_bit(const unsigned long *map, unsigned long size)
{
	return _find_next_bit(map, size, 0);
}

unsigned long _find_first_zero_bit(const unsigned long *map, unsigned long size);
unsigned long _find_first_zero_bit(const unsigned long *map, unsigned long size)
{
	return _find_next_zero_bit(map, size, 0);
}

unsigned long _find_next_and_bit(const unsigned long *a, const unsigned long *b, unsigned long size, unsigned long bit);
unsigned long _find_next_and_bit(const unsigned long *a, const unsigned long *b, unsigned long size, unsigned long bit)
{
	while (bit < size && !(HAS(a, bit) && HAS(b, bit)))
		bit++;
	return bit < size ? bit : size;
}

unsigned long _find_last_bit(const unsigned long *map, unsigned long size);
unsigned long _find_last_bit(const unsigned long *map, unsigned long size)
{
	for (unsigned long bit = size; bit--;)
		if (HAS(map, bit))
			return bit;
	return size;
}

unsigned int __bitmap_weight(const unsigned long *map, unsigned int bits);
unsigned int __bitmap_weight(const unsigned long *map, unsigned int bits)
{
	unsigned int count = 0;

	for (unsigned int bit = 0; bit < bits; bit++)
		count += HAS(map, bit);
	return count;
}

void __bitmap_set(unsigned long *map, unsigned int start, int length);
void __bitmap_set(unsigned long *map, unsigned int start, int length)
{
	for (; length-- > 0; start++)
		map[start / BITS_PER_LONG] |= 1ul << (start % BITS_PER_LONG);
}

void __bitmap_clear(unsigned long *map, unsigned int start, int length);
void __bitmap_clear(unsigned long *map, unsigned int start, int length)
{
	for (; length-- > 0; start++)
		map[start / BITS_PER_LONG] &= ~(1ul << (start % BITS_PER_LONG));
}

void __bitmap_or(unsigned long *to, const unsigned long *a, const unsigned long *b, unsigned int bits);
void __bitmap_or(unsigned long *to, const unsigned long *a, const unsigned long *b, unsigned int bits)
{
	for (unsigned int i = 0; i < LONGS(bits); i++)
		to[i] = a[i] | b[i];
}

/* True if a bit is left. */
bool __bitmap_and(unsigned long *to, const unsigned long *a, const unsigned long *b, unsigned int bits);
bool __bitmap_and(unsigned long *to, const unsigned long *a, const unsigned long *b, unsigned int bits)
{
	for (unsigned int i = 0; i < LONGS(bits); i++)
		to[i] = a[i] & b[i];
	return _find_first_bit(to, bits) < bits;
}

/* lib/refcount.c */
bool refcount_dec_and_mutex_lock(refcount_t *r, struct mutex *lock);
bool refcount_dec_and_mutex_lock(refcount_t *r, struct mutex *lock)
{
	for (int old = refcount_read(r); old > 1; old = refcount_read(r))
		if (atomic_cmpxchg(&r->refs, old, old - 1) == old)
			return false;
	mutex_lock(lock);
	if (refcount_dec_and_test(r))
		return true;
	mutex_unlock(lock);
	return false;
}

/* lib/sort.c, lib/bsearch.c, lib/math */
static void swap_bytes(void *a, void *b, int size)
{
	char *x = a, *y = b;

	while (size--) {
		char byte = x[size];

		x[size] = y[size];
		y[size] = byte;
	}
}

/* `exchange` is NULL, or one of the kernel's small numbers for it, where any will do. */
void sort(void *base, size_t num, size_t size, cmp_func_t compare, swap_func_t exchange)
{
	char *first = base;

	if ((unsigned long)exchange <= 3)
		exchange = swap_bytes;
	for (size_t i = 1; i < num; i++)
		for (size_t j = i; j && compare(first + (j - 1) * size, first + j * size) > 0; j--)
			exchange(first + (j - 1) * size, first + j * size, size);
}

void *bsearch(const void *key, const void *base, size_t num, size_t size, cmp_func_t compare)
{
	const char *first = base;

	while (num) {
		const char *middle = first + num / 2 * size;
		int order = compare(key, middle);

		if (!order)
			return (void *)middle;
		if (order > 0) {
			first = middle + size;
			num--;
		}
		num /= 2;
	}
	return NULL;
}

unsigned long gcd(unsigned long a, unsigned long b);
unsigned long gcd(unsigned long a, unsigned long b)
{
	while (b) {
		unsigned long rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

unsigned long int_sqrt(unsigned long x);
unsigned long int_sqrt(unsigned long x)
{
	unsigned long root = 0;

	for (unsigned long bit = 1ul << 31; bit; bit >>= 1)
		if ((root | bit) * (root | bit) <= x)
			root |= bit;
	return root;
}

/* lib/ratelimit.c. The struct of a kernel without lock debugging; nobody waits for its lock. */
struct ratelimit_state {
	u32 lock;
	int interval, burst, printed, missed;
	unsigned int flags;
	unsigned long begin;
};
#define RATELIMIT_MSG_ON_RELEASE 1

/* 1: what is to be printed may be printed. */
int ___ratelimit(struct ratelimit_state *rs, const char *func);
int ___ratelimit(struct ratelimit_state *rs, const char *func)
{
	if (!rs->interval)
		return 1;
	if (!rs->begin)
		rs->begin = jiffies;
	if ((long)(jiffies - rs->begin - rs->interval) > 0) {
		if (rs->missed && !(rs->flags & RATELIMIT_MSG_ON_RELEASE)) {
			printk(KERN_WARNING "%s: %d callbacks suppressed\n", func, rs->missed);
			rs->missed = 0;
		}
		rs->begin = jiffies;
		rs->printed = 0;
	}
	if (rs->printed < rs->burst) {
		rs->printed++;
		return 1;
	}
	rs->missed++;
	return 0;
}
