/* SPDX-License-Identifier: GPL-2.0-only */
/* Attributes, and what keeps the compiler from moving memory accesses. */
#ifndef _LINUX_COMPILER_H
#define _LINUX_COMPILER_H

#include <linux/compiler_attributes.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define unreachable() __builtin_unreachable()

/* Keeps the compiler from moving or merging memory accesses across it. */
#define barrier() __asm__ __volatile__("" : : : "memory")
#define OPTIMIZER_HIDE_VAR(variable) __asm__ __volatile__("" : "=r"(variable) : "0"(variable))

#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile typeof(x) *)&(x) = (value))

#define __same_type(a, b) __builtin_types_compatible_p(typeof(a), typeof(b))

#define __concat_1(a, b) a##b
#define __concat(a, b) __concat_1(a, b)
#define __UNIQUE_ID(prefix) __concat(__concat(__UNIQUE_ID_, prefix), __COUNTER__)

#endif
