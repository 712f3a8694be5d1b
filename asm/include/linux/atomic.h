/* SPDX-License-Identifier: GPL-2.0-only */
/* Counters that several CPUs change. With the kernel's order: what returns a value is a full barrier. */
#ifndef _LINUX_ATOMIC_H
#define _LINUX_ATOMIC_H

#include <asm/barrier.h>
#include <linux/compiler.h>
#include <linux/types.h>

#define ATOMIC_INIT(i) { (i) }
#define ATOMIC_LONG_INIT(i) { (i) }
#define ATOMIC64_INIT(i) { (i) }
typedef atomic_long_t atomic64_t;

static inline int atomic_read(const atomic_t *v) { return READ_ONCE(v->counter); }
static inline void atomic_set(atomic_t *v, int i) { WRITE_ONCE(v->counter, i); }
static inline void atomic_add(int i, atomic_t *v) { __atomic_fetch_add(&v->counter, i, __ATOMIC_SEQ_CST); }
static inline void atomic_sub(int i, atomic_t *v) { __atomic_fetch_sub(&v->counter, i, __ATOMIC_SEQ_CST); }
static inline void atomic_inc(atomic_t *v) { atomic_add(1, v); }
static inline void atomic_dec(atomic_t *v) { atomic_sub(1, v); }
static inline void atomic_or(int i, atomic_t *v) { __atomic_fetch_or(&v->counter, i, __ATOMIC_SEQ_CST); }
static inline void atomic_and(int i, atomic_t *v) { __atomic_fetch_and(&v->counter, i, __ATOMIC_SEQ_CST); }
static inline int atomic_fetch_add(int i, atomic_t *v) { return __atomic_fetch_add(&v->counter, i, __ATOMIC_SEQ_CST); }
static inline int atomic_fetch_sub(int i, atomic_t *v) { return __atomic_fetch_sub(&v->counter, i, __ATOMIC_SEQ_CST); }
static inline int atomic_fetch_inc(atomic_t *v) { return atomic_fetch_add(1, v); }
static inline int atomic_fetch_dec(atomic_t *v) { return atomic_fetch_sub(1, v); }
static inline int atomic_add_return(int i, atomic_t *v) { return atomic_fetch_add(i, v) + i; }
static inline int atomic_sub_return(int i, atomic_t *v) { return atomic_fetch_sub(i, v) - i; }
static inline int atomic_inc_return(atomic_t *v) { return atomic_add_return(1, v); }
static inline int atomic_dec_return(atomic_t *v) { return atomic_sub_return(1, v); }
static inline bool atomic_inc_and_test(atomic_t *v) { return atomic_inc_return(v) == 0; }
static inline bool atomic_dec_and_test(atomic_t *v) { return atomic_dec_return(v) == 0; }
static inline bool atomic_sub_and_test(int i, atomic_t *v) { return atomic_sub_return(i, v) == 0; }
static inline int atomic_xchg(atomic_t *v, int i) { return __atomic_exchange_n(&v->counter, i, __ATOMIC_SEQ_CST); }
static inline int atomic_cmpxchg(atomic_t *v, int old, int new)
{
	__atomic_compare_exchange_n(&v->counter, &old, new, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return old;
}
static inline bool atomic_add_unless(atomic_t *v, int a, int u)
{
	int old = atomic_read(v);

	while (old != u)
		if (__atomic_compare_exchange_n(&v->counter, &old, old + a, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			return true;
	return false;
}
static inline bool atomic_inc_not_zero(atomic_t *v) { return atomic_add_unless(v, 1, 0); }

static inline s64 atomic_long_read(const atomic_long_t *v) { return READ_ONCE(v->counter); }
static inline void atomic_long_set(atomic_long_t *v, s64 i) { WRITE_ONCE(v->counter, i); }
static inline void atomic_long_add(s64 i, atomic_long_t *v) { __atomic_fetch_add(&v->counter, i, __ATOMIC_SEQ_CST); }
static inline void atomic_long_sub(s64 i, atomic_long_t *v) { __atomic_fetch_sub(&v->counter, i, __ATOMIC_SEQ_CST); }
static inline void atomic_long_inc(atomic_long_t *v) { atomic_long_add(1, v); }
static inline void atomic_long_dec(atomic_long_t *v) { atomic_long_sub(1, v); }
static inline void atomic_long_or(s64 i, atomic_long_t *v) { __atomic_fetch_or(&v->counter, i, __ATOMIC_SEQ_CST); }
static inline void atomic_long_and(s64 i, atomic_long_t *v) { __atomic_fetch_and(&v->counter, i, __ATOMIC_SEQ_CST); }
static inline s64 atomic_long_fetch_add(s64 i, atomic_long_t *v) { return __atomic_fetch_add(&v->counter, i, __ATOMIC_SEQ_CST); }
static inline s64 atomic_long_fetch_sub(s64 i, atomic_long_t *v) { return __atomic_fetch_sub(&v->counter, i, __ATOMIC_SEQ_CST); }
static inline s64 atomic_long_fetch_inc(atomic_long_t *v) { return atomic_long_fetch_add(1, v); }
static inline s64 atomic_long_fetch_dec(atomic_long_t *v) { return atomic_long_fetch_sub(1, v); }
static inline s64 atomic_long_add_return(s64 i, atomic_long_t *v) { return atomic_long_fetch_add(i, v) + i; }
static inline s64 atomic_long_sub_return(s64 i, atomic_long_t *v) { return atomic_long_fetch_sub(i, v) - i; }
static inline s64 atomic_long_inc_return(atomic_long_t *v) { return atomic_long_add_return(1, v); }
static inline s64 atomic_long_dec_return(atomic_long_t *v) { return atomic_long_sub_return(1, v); }
static inline bool atomic_long_inc_and_test(atomic_long_t *v) { return atomic_long_inc_return(v) == 0; }
static inline bool atomic_long_dec_and_test(atomic_long_t *v) { return atomic_long_dec_return(v) == 0; }
static inline bool atomic_long_sub_and_test(s64 i, atomic_long_t *v) { return atomic_long_sub_return(i, v) == 0; }
static inline s64 atomic_long_xchg(atomic_long_t *v, s64 i) { return __atomic_exchange_n(&v->counter, i, __ATOMIC_SEQ_CST); }
static inline s64 atomic_long_cmpxchg(atomic_long_t *v, s64 old, s64 new)
{
	__atomic_compare_exchange_n(&v->counter, &old, new, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return old;
}
static inline bool atomic_long_add_unless(atomic_long_t *v, s64 a, s64 u)
{
	s64 old = atomic_long_read(v);

	while (old != u)
		if (__atomic_compare_exchange_n(&v->counter, &old, old + a, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			return true;
	return false;
}
static inline bool atomic_long_inc_not_zero(atomic_long_t *v) { return atomic_long_add_unless(v, 1, 0); }

static inline s64 atomic64_read(const atomic64_t *v) { return READ_ONCE(v->counter); }
static inline void atomic64_set(atomic64_t *v, s64 i) { WRITE_ONCE(v->counter, i); }
static inline void atomic64_add(s64 i, atomic64_t *v) { __atomic_fetch_add(&v->counter, i, __ATOMIC_SEQ_CST); }
static inline void atomic64_sub(s64 i, atomic64_t *v) { __atomic_fetch_sub(&v->counter, i, __ATOMIC_SEQ_CST); }
static inline void atomic64_inc(atomic64_t *v) { atomic64_add(1, v); }
static inline void atomic64_dec(atomic64_t *v) { atomic64_sub(1, v); }
static inline void atomic64_or(s64 i, atomic64_t *v) { __atomic_fetch_or(&v->counter, i, __ATOMIC_SEQ_CST); }
static inline void atomic64_and(s64 i, atomic64_t *v) { __atomic_fetch_and(&v->counter, i, __ATOMIC_SEQ_CST); }
static inline s64 atomic64_fetch_add(s64 i, atomic64_t *v) { return __atomic_fetch_add(&v->counter, i, __ATOMIC_SEQ_CST); }
static inline s64 atomic64_fetch_sub(s64 i, atomic64_t *v) { return __atomic_fetch_sub(&v->counter, i, __ATOMIC_SEQ_CST); }
static inline s64 atomic64_fetch_inc(atomic64_t *v) { return atomic64_fetch_add(1, v); }
static inline s64 atomic64_fetch_dec(atomic64_t *v) { return atomic64_fetch_sub(1, v); }
static inline s64 atomic64_add_return(s64 i, atomic64_t *v) { return atomic64_fetch_add(i, v) + i; }
static inline s64 atomic64_sub_return(s64 i, atomic64_t *v) { return atomic64_fetch_sub(i, v) - i; }
static inline s64 atomic64_inc_return(atomic64_t *v) { return atomic64_add_return(1, v); }
static inline s64 atomic64_dec_return(atomic64_t *v) { return atomic64_sub_return(1, v); }
static inline bool atomic64_inc_and_test(atomic64_t *v) { return atomic64_inc_return(v) == 0; }
static inline bool atomic64_dec_and_test(atomic64_t *v) { return atomic64_dec_return(v) == 0; }
static inline bool atomic64_sub_and_test(s64 i, atomic64_t *v) { return atomic64_sub_return(i, v) == 0; }
static inline s64 atomic64_xchg(atomic64_t *v, s64 i) { return __atomic_exchange_n(&v->counter, i, __ATOMIC_SEQ_CST); }
static inline s64 atomic64_cmpxchg(atomic64_t *v, s64 old, s64 new)
{
	__atomic_compare_exchange_n(&v->counter, &old, new, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return old;
}
static inline bool atomic64_add_unless(atomic64_t *v, s64 a, s64 u)
{
	s64 old = atomic64_read(v);

	while (old != u)
		if (__atomic_compare_exchange_n(&v->counter, &old, old + a, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			return true;
	return false;
}
static inline bool atomic64_inc_not_zero(atomic64_t *v) { return atomic64_add_unless(v, 1, 0); }

#define xchg(ptr, value) __atomic_exchange_n(ptr, value, __ATOMIC_SEQ_CST)
#define cmpxchg(ptr, old, new) ({ \
	typeof(*(ptr)) __cmpxchg_old = (old); \
	__atomic_compare_exchange_n(ptr, &__cmpxchg_old, new, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
	__cmpxchg_old; })

#endif
