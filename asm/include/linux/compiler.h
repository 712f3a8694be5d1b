/* SPDX-License-Identifier: GPL-2.0-only */
/* What kernel-style C takes for granted, as far as the functions in asm/ need it. */
#ifndef _LINUX_COMPILER_H
#define _LINUX_COMPILER_H

#define noinline __attribute__((__noinline__))
#define notrace __attribute__((__no_instrument_function__))
#define __used __attribute__((__used__))

/* Keeps the compiler from moving or merging memory accesses across it. */
#define barrier() __asm__ __volatile__("" : : : "memory")

#endif
