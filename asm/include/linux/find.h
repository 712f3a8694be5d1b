/* SPDX-License-Identifier: GPL-2.0-only */
/* Bits that are set, or not. `size`: if there is none. */
#ifndef _LINUX_FIND_H
#define _LINUX_FIND_H

#include <linux/bitops.h>

static inline unsigned long find_next_bit(const unsigned long *map, unsigned long size, unsigned long from)
{
	while (from < size && !test_bit(from, map))
		from++;
	return from < size ? from : size;
}

static inline unsigned long find_next_zero_bit(const unsigned long *map, unsigned long size, unsigned long from)
{
	while (from < size && test_bit(from, map))
		from++;
	return from < size ? from : size;
}

#define find_first_bit(map, size) find_next_bit(map, size, 0)
#define find_first_zero_bit(map, size) find_next_zero_bit(map, size, 0)
#define for_each_set_bit(bit, map, size) \
	for ((bit) = find_first_bit(map, size); (bit) < (size); (bit) = find_next_bit(map, size, (bit) + 1))
#define for_each_clear_bit(bit, map, size) \
	for ((bit) = find_first_zero_bit(map, size); (bit) < (size); (bit) = find_next_zero_bit(map, size, (bit) + 1))

#endif
