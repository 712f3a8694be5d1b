/* SPDX-License-Identifier: GPL-2.0-only */
/* Barriers of x86-64. Its memory order is strong: only a store before a load needs an instruction. */
#ifndef _ASM_X86_BARRIER_H
#define _ASM_X86_BARRIER_H

#include <linux/compiler.h>

#define mb() __asm__ __volatile__("mfence" : : : "memory")
#define rmb() __asm__ __volatile__("lfence" : : : "memory")
#define wmb() __asm__ __volatile__("sfence" : : : "memory")
#define smp_mb() __asm__ __volatile__("lock; addl $0, -4(%%rsp)" : : : "memory", "cc")
#define smp_rmb() barrier()
#define smp_wmb() barrier()
#define smp_mb__before_atomic() barrier()
#define smp_mb__after_atomic() barrier()
#define smp_store_release(p, value) do { barrier(); WRITE_ONCE(*(p), value); } while (0)
#define smp_load_acquire(p) ({ typeof(*(p)) __acquired = READ_ONCE(*(p)); barrier(); __acquired; })
#define smp_store_mb(variable, value) do { (void)__atomic_exchange_n(&(variable), value, __ATOMIC_SEQ_CST); } while (0)

#endif
