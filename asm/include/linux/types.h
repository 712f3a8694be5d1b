/* SPDX-License-Identifier: GPL-2.0-only */
/* Types that everything else takes for granted, with the kernel's names and layouts (x86-64, no lock debugging). */
#ifndef _LINUX_TYPES_H
#define _LINUX_TYPES_H

#define NULL ((void *)0)

typedef _Bool bool;
#define true 1
#define false 0

typedef signed char s8;
typedef unsigned char u8;
typedef short s16;
typedef unsigned short u16;
typedef int s32;
typedef unsigned int u32;
typedef long long s64;
typedef unsigned long long u64;
typedef s8 __s8, int8_t;
typedef u8 __u8, uint8_t;
typedef s16 __s16, int16_t;
typedef u16 __u16, uint16_t;
typedef s32 __s32, int32_t;
typedef u32 __u32, uint32_t;
typedef s64 __s64, int64_t;
typedef u64 __u64, uint64_t;
typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong, uintptr_t;

typedef unsigned long size_t;
typedef long ssize_t;
typedef int pid_t;
typedef unsigned short umode_t;
typedef unsigned int gfp_t;
typedef long long loff_t;
typedef unsigned int fmode_t;
typedef unsigned int dev_t;
typedef u64 phys_addr_t, dma_addr_t, sector_t;
typedef unsigned int uid_t, gid_t;

typedef struct {
	int counter;
} atomic_t;
typedef struct {
	s64 counter;
} atomic_long_t;

/* include/linux/refcount.h, include/linux/kref.h */
typedef struct refcount_struct {
	atomic_t refs;
} refcount_t;
struct kref {
	refcount_t refcount;
};

/* A queued spinlock is one word. */
typedef struct {
	u32 val;
} raw_spinlock_t;

struct list_head {
	struct list_head *next, *prev;
};
struct hlist_head {
	struct hlist_node *first;
};
struct hlist_node {
	struct hlist_node *next, **pprev;
};

#endif
