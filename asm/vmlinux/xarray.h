/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A part of kernel.c: lib/xarray.c, lib/idr.c. What an array holds is in one table, in the order of its indices. There are no marks, and
 * none of the functions that begin with xas_.
 */
#include <linux/bug.h>
#include <linux/err.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>

/* That of a kernel without lock debugging. */
struct xarray {
	spinlock_t lock;
	gfp_t flags;
	/* NULL if the array is empty: xa_empty() asks for it. */
	struct xa_table *table;
};

struct xa_slot {
	unsigned long index;
	void *entry;
};

struct xa_table {
	unsigned int count, room;
	struct xa_slot slots[];
};

/* include/linux/xarray.h */
#define XA_FLAGS_TRACK_FREE 4
#define XA_FLAGS_ZERO_BUSY 8
#define XA_FLAGS_ALLOC_WRAPPED 16
/* An index that is taken and reads as NULL. */
#define XA_ZERO_ENTRY ((void *)0x406ul)
#define XA_ERROR(errno) ((void *)(((unsigned long)(errno) << 2) | 2))
struct xa_limit {
	u32 max, min;
};

static void *or_null(void *entry)
{
	return entry == XA_ZERO_ENTRY ? NULL : entry;
}

/* The number of slots below an index. */
static unsigned int xa_below(const struct xarray *xa, unsigned long index)
{
	unsigned int low = 0, high = xa->table ? xa->table->count : 0;

	while (low < high) {
		unsigned int middle = (low + high) / 2;

		if (xa->table->slots[middle].index < index)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The first slot from an index on, or NULL. */
static struct xa_slot *xa_from(const struct xarray *xa, unsigned long index)
{
	unsigned int at = xa_below(xa, index);

	return xa->table && at < xa->table->count ? &xa->table->slots[at] : NULL;
}

static struct xa_slot *xa_at(const struct xarray *xa, unsigned long index)
{
	struct xa_slot *slot = xa_from(xa, index);

	return slot && slot->index == index ? slot : NULL;
}

static int xa_add(struct xarray *xa, unsigned long index, void *entry, gfp_t gfp)
{
	unsigned int at = xa_below(xa, index), count = xa->table ? xa->table->count : 0;
	struct xa_table *table = xa->table;

	if (!table || count == table->room) {
		unsigned int room = count ? 2 * count : 4;

		table = krealloc(table, sizeof(*table) + room * sizeof(table->slots[0]), gfp);
		if (!table)
			return -ENOMEM;
		table->room = room;
		xa->table = table;
	}
	memmove(&table->slots[at + 1], &table->slots[at], (count - at) * sizeof(table->slots[0]));
	table->slots[at] = (struct xa_slot) { .index = index, .entry = entry };
	table->count = count + 1;
	return 0;
}

static void *xa_take(struct xarray *xa, unsigned long index)
{
	struct xa_slot *slot = xa_at(xa, index);
	struct xa_table *table = xa->table;
	void *entry;

	if (!slot)
		return NULL;
	entry = slot->entry;
	memmove(slot, slot + 1, (char *)&table->slots[table->count] - (char *)(slot + 1));
	if (--table->count)
		return entry;
	kfree(table);
	xa->table = NULL;
	return entry;
}

/* Takes the first free index of a range. -EBUSY: there is none. */
static int xa_add_free(struct xarray *xa, unsigned long *index, unsigned long max, void *entry, gfp_t gfp)
{
	for (; *index <= max; ++*index)
		if (!xa_at(xa, *index))
			return xa_add(xa, *index, entry, gfp);
	return -EBUSY;
}

/* Locked by the caller: the functions that begin with __. */

void *__xa_erase(struct xarray *xa, unsigned long index);
void *__xa_erase(struct xarray *xa, unsigned long index)
{
	return or_null(xa_take(xa, index));
}

static void *xa_put(struct xarray *xa, unsigned long index, void *entry, gfp_t gfp)
{
	struct xa_slot *slot = xa_at(xa, index);
	void *old = slot ? slot->entry : NULL;
	int ret;

	if (!entry && xa->flags & XA_FLAGS_TRACK_FREE && slot)
		entry = XA_ZERO_ENTRY;
	if (!entry)
		return xa_take(xa, index);
	if (slot) {
		slot->entry = entry;
		return old;
	}
	ret = xa_add(xa, index, entry, gfp);
	return ret ? XA_ERROR(ret) : NULL;
}

void *__xa_store(struct xarray *xa, unsigned long index, void *entry, gfp_t gfp);
void *__xa_store(struct xarray *xa, unsigned long index, void *entry, gfp_t gfp)
{
	if (!entry && xa->flags & XA_FLAGS_TRACK_FREE)
		entry = XA_ZERO_ENTRY;
	return or_null(xa_put(xa, index, entry, gfp));
}

void *__xa_cmpxchg(struct xarray *xa, unsigned long index, void *old, void *entry, gfp_t gfp);
void *__xa_cmpxchg(struct xarray *xa, unsigned long index, void *old, void *entry, gfp_t gfp)
{
	struct xa_slot *slot = xa_at(xa, index);
	void *found = slot ? slot->entry : NULL;

	return or_null(found == old ? xa_put(xa, index, entry, gfp) : found);
}

int __xa_insert(struct xarray *xa, unsigned long index, void *entry, gfp_t gfp);
int __xa_insert(struct xarray *xa, unsigned long index, void *entry, gfp_t gfp)
{
	return xa_at(xa, index) ? -EBUSY : xa_add(xa, index, entry ?: XA_ZERO_ENTRY, gfp);
}

int __xa_alloc(struct xarray *xa, u32 *id, void *entry, struct xa_limit limit, gfp_t gfp);
int __xa_alloc(struct xarray *xa, u32 *id, void *entry, struct xa_limit limit, gfp_t gfp)
{
	unsigned long index = limit.min;
	int ret;

	if (WARN_ON_ONCE(!(xa->flags & XA_FLAGS_TRACK_FREE)))
		return -EINVAL;
	if (!index && xa->flags & XA_FLAGS_ZERO_BUSY)
		index = 1;
	ret = xa_add_free(xa, &index, limit.max, entry ?: XA_ZERO_ENTRY, gfp);
	if (!ret)
		*id = index;
	return ret;
}

int __xa_alloc_cyclic(struct xarray *xa, u32 *id, void *entry, struct xa_limit limit, u32 *next, gfp_t gfp);
/* 1: the search has begun again at the lowest index. */
int __xa_alloc_cyclic(struct xarray *xa, u32 *id, void *entry, struct xa_limit limit, u32 *next, gfp_t gfp)
{
	struct xa_limit from = { .max = limit.max, .min = limit.min > *next ? limit.min : *next };
	int ret = __xa_alloc(xa, id, entry, from, gfp);

	if (!ret && xa->flags & XA_FLAGS_ALLOC_WRAPPED) {
		xa->flags &= ~XA_FLAGS_ALLOC_WRAPPED;
		ret = 1;
	}
	if (ret < 0 && from.min > limit.min) {
		ret = __xa_alloc(xa, id, entry, limit, gfp);
		if (!ret)
			ret = 1;
	}
	if (ret >= 0) {
		*next = *id + 1;
		if (!*next)
			xa->flags |= XA_FLAGS_ALLOC_WRAPPED;
	}
	return ret;
}

/* The others lock by themselves. */

void *xa_load(struct xarray *xa, unsigned long index);
void *xa_load(struct xarray *xa, unsigned long index)
{
	struct xa_slot *slot = xa_at(xa, index);

	return slot ? or_null(slot->entry) : NULL;
}

void *xa_store(struct xarray *xa, unsigned long index, void *entry, gfp_t gfp);
void *xa_store(struct xarray *xa, unsigned long index, void *entry, gfp_t gfp)
{
	void *old;

	spin_lock(&xa->lock);
	old = __xa_store(xa, index, entry, gfp);
	spin_unlock(&xa->lock);
	return old;
}

void *xa_erase(struct xarray *xa, unsigned long index);
void *xa_erase(struct xarray *xa, unsigned long index)
{
	void *old;

	spin_lock(&xa->lock);
	old = __xa_erase(xa, index);
	spin_unlock(&xa->lock);
	return old;
}

#define XA_PRESENT 8

/* No entry has another mark than that it is there. */
void *xa_find(struct xarray *xa, unsigned long *index, unsigned long max, unsigned int filter);
void *xa_find(struct xarray *xa, unsigned long *index, unsigned long max, unsigned int filter)
{
	struct xa_slot *slot = filter == XA_PRESENT ? xa_from(xa, *index) : NULL;
	const struct xa_slot *end = xa->table ? &xa->table->slots[xa->table->count] : NULL;

	while (slot && slot < end && !or_null(slot->entry))
		slot++;
	if (!slot || slot >= end || slot->index > max)
		return NULL;
	*index = slot->index;
	return slot->entry;
}

void *xa_find_after(struct xarray *xa, unsigned long *index, unsigned long max, unsigned int filter);
void *xa_find_after(struct xarray *xa, unsigned long *index, unsigned long max, unsigned int filter)
{
	unsigned long next = *index + 1;
	void *entry = next ? xa_find(xa, &next, max, filter) : NULL;

	if (entry)
		*index = next;
	return entry;
}

void xa_destroy(struct xarray *xa);
void xa_destroy(struct xarray *xa)
{
	spin_lock(&xa->lock);
	kfree(xa->table);
	xa->table = NULL;
	spin_unlock(&xa->lock);
}

/* lib/idr.c: an IDR may hold NULL. */
struct idr {
	struct xarray entries;
	unsigned int base, next;
};

/* <linux/idr.h> asks only if an IDR is empty: one index is always free. */
int radix_tree_tagged(const struct xarray *root, unsigned int tag);
int radix_tree_tagged(const struct xarray *root, unsigned int tag)
{
	return 1;
}

int idr_alloc_u32(struct idr *idr, void *ptr, u32 *id, unsigned long max, gfp_t gfp);
int idr_alloc_u32(struct idr *idr, void *ptr, u32 *id, unsigned long max, gfp_t gfp)
{
	unsigned long index = *id < idr->base ? 0 : *id - idr->base;
	int ret = xa_add_free(&idr->entries, &index, max - idr->base, ptr, gfp);

	if (!ret)
		*id = index + idr->base;
	return ret == -EBUSY ? -ENOSPC : ret;
}

int idr_alloc(struct idr *idr, void *ptr, int start, int end, gfp_t gfp);
int idr_alloc(struct idr *idr, void *ptr, int start, int end, gfp_t gfp)
{
	u32 id = start;
	int ret;

	if (WARN_ON_ONCE(start < 0))
		return -EINVAL;
	ret = idr_alloc_u32(idr, ptr, &id, end > 0 ? end - 1 : INT_MAX, gfp);
	return ret ?: id;
}

int idr_alloc_cyclic(struct idr *idr, void *ptr, int start, int end, gfp_t gfp);
int idr_alloc_cyclic(struct idr *idr, void *ptr, int start, int end, gfp_t gfp)
{
	u32 max = end > 0 ? end - 1 : INT_MAX, id = (int)idr->next < start ? start : idr->next;
	int ret = idr_alloc_u32(idr, ptr, &id, max, gfp);

	if (ret == -ENOSPC && id > (u32)start) {
		id = start;
		ret = idr_alloc_u32(idr, ptr, &id, max, gfp);
	}
	if (ret)
		return ret;
	idr->next = id + 1;
	return id;
}

void *idr_remove(struct idr *idr, unsigned long id);
void *idr_remove(struct idr *idr, unsigned long id)
{
	return xa_take(&idr->entries, id - idr->base);
}

void *idr_find(const struct idr *idr, unsigned long id);
void *idr_find(const struct idr *idr, unsigned long id)
{
	struct xa_slot *slot = xa_at(&idr->entries, id - idr->base);

	return slot ? slot->entry : NULL;
}

void *idr_get_next_ul(struct idr *idr, unsigned long *id);
void *idr_get_next_ul(struct idr *idr, unsigned long *id)
{
	unsigned long index = *id < idr->base ? 0 : *id - idr->base;
	struct xa_slot *slot;

	for (; (slot = xa_from(&idr->entries, index)); index = slot->index + 1) {
		if (!slot->entry)
			continue;
		*id = slot->index + idr->base;
		return slot->entry;
	}
	return NULL;
}

void *idr_get_next(struct idr *idr, int *id);
void *idr_get_next(struct idr *idr, int *id)
{
	unsigned long next = *id;
	void *entry = idr_get_next_ul(idr, &next);

	if (entry)
		*id = next;
	return entry;
}

int idr_for_each(const struct idr *idr, int (*fn)(int id, void *ptr, void *data), void *data);
int idr_for_each(const struct idr *idr, int (*fn)(int id, void *ptr, void *data), void *data)
{
	unsigned long id = 0;
	void *entry;
	int ret;

	for (; (entry = idr_get_next_ul((struct idr *)idr, &id)); id++) {
		ret = fn(id, entry, data);
		if (ret)
			return ret;
	}
	return 0;
}

void *idr_replace(struct idr *idr, void *ptr, unsigned long id);
void *idr_replace(struct idr *idr, void *ptr, unsigned long id)
{
	struct xa_slot *slot = xa_at(&idr->entries, id - idr->base);
	void *old;

	if (!slot)
		return ERR_PTR(-ENOENT);
	old = slot->entry;
	slot->entry = ptr;
	return old;
}

void idr_destroy(struct idr *idr);
void idr_destroy(struct idr *idr)
{
	xa_destroy(&idr->entries);
}

/* A struct ida is an XArray. */
int ida_alloc_range(struct xarray *ida, unsigned int min, unsigned int max, gfp_t gfp);
int ida_alloc_range(struct xarray *ida, unsigned int min, unsigned int max, gfp_t gfp)
{
	unsigned long id = min;
	int ret;

	if ((int)min < 0)
		return -ENOSPC;
	spin_lock(&ida->lock);
	ret = xa_add_free(ida, &id, (int)max < 0 ? INT_MAX : max, ida, gfp);
	spin_unlock(&ida->lock);
	return ret == -EBUSY ? -ENOSPC : ret ?: id;
}

void ida_free(struct xarray *ida, unsigned int id);
void ida_free(struct xarray *ida, unsigned int id)
{
	if ((int)id < 0)
		return;
	WARN(!xa_erase(ida, id), "ida_free called for id=%d which is not allocated.\n", id);
}

void ida_destroy(struct xarray *ida);
void ida_destroy(struct xarray *ida)
{
	xa_destroy(ida);
}
