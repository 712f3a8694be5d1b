/* SPDX-License-Identifier: GPL-2.0-only */
/* Hash tables with lists of entries. */
#ifndef _LINUX_HASHTABLE_H
#define _LINUX_HASHTABLE_H

#include <linux/array_size.h>
#include <linux/hash.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/rculist.h>

#define DECLARE_HASHTABLE(name, bits) struct hlist_head name[1 << (bits)]
/* All lists are empty. */
#define DEFINE_HASHTABLE(name, bits) struct hlist_head name[1 << (bits)] = { { NULL } }
#define HASH_SIZE(table) ARRAY_SIZE(table)
#define HASH_BITS(table) ilog2(HASH_SIZE(table))
#define hash_min(value, bits) (sizeof(value) <= 4 ? hash_32(value, bits) : hash_long(value, bits))
#define __hash_bucket(table, key) (&(table)[hash_min(key, HASH_BITS(table))])

#define hash_init(table) do { \
	for (unsigned int __i = 0; __i < HASH_SIZE(table); __i++) \
		INIT_HLIST_HEAD(&(table)[__i]); \
} while (0)
#define hash_add(table, node, key) hlist_add_head(node, __hash_bucket(table, key))
#define hash_del(node) hlist_del_init(node)
#define hash_hashed(node) (!hlist_unhashed(node))
#define hash_empty(table) ({ \
	bool __empty = true; \
	for (unsigned int __i = 0; __i < HASH_SIZE(table); __i++) \
		__empty &= hlist_empty(&(table)[__i]); \
	__empty; \
})

#define hash_for_each(table, bucket, pos, member) \
	for ((bucket) = 0; (bucket) < HASH_SIZE(table); (bucket)++) \
		hlist_for_each_entry(pos, &(table)[bucket], member)
#define hash_for_each_safe(table, bucket, tmp, pos, member) \
	for ((bucket) = 0; (bucket) < HASH_SIZE(table); (bucket)++) \
		hlist_for_each_entry_safe(pos, tmp, &(table)[bucket], member)
#define hash_for_each_possible(table, pos, member, key) \
	hlist_for_each_entry(pos, __hash_bucket(table, key), member)

#endif
