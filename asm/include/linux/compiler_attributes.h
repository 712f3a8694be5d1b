/* SPDX-License-Identifier: GPL-2.0-only */
/* Attributes of functions and variables, by the names that the kernel gives them. */
#ifndef _LINUX_COMPILER_ATTRIBUTES_H
#define _LINUX_COMPILER_ATTRIBUTES_H

#define noinline __attribute__((__noinline__))
#define notrace __attribute__((__no_instrument_function__))
#define __always_inline inline __attribute__((__always_inline__))
#define __used __attribute__((__used__))
#define __maybe_unused __attribute__((__unused__))
#define __must_check __attribute__((__warn_unused_result__))
#define __packed __attribute__((__packed__))
#define __aligned(x) __attribute__((__aligned__(x)))
#define __section(section) __attribute__((__section__(section)))
#define __printf(a, b) __attribute__((__format__(__printf__, a, b)))
#define __weak __attribute__((__weak__))
#define __alias(symbol) __attribute__((__alias__(#symbol)))
#define __cold __attribute__((__cold__))
#define __pure __attribute__((__pure__))
#define __attribute_const__ __attribute__((__const__))
#define __malloc __attribute__((__malloc__))
#define __noreturn __attribute__((__noreturn__))
#define __visible __attribute__((__externally_visible__))
#define __compiletime_error(message) __attribute__((__error__(message)))
#define __compiletime_warning(message) __attribute__((__warning__(message)))
#define fallthrough __attribute__((__fallthrough__))
#define asmlinkage

/* Marks for a checker; the compiler ignores them. */
#define __user
#define __kernel
#define __iomem
#define __rcu
#define __percpu
#define __force
#define __bitwise
#define __must_hold(x)
#define __acquires(x)
#define __releases(x)

/* Memory that the kernel gives back after boot, or writes only before that: here it is all kept. */
#define __init
#define __exit
#define __initdata
#define __initconst
#define __exitdata
#define __ro_after_init
#define __read_mostly
#define __refdata
#define __ref
#define ____cacheline_aligned __aligned(64)
#define ____cacheline_aligned_in_smp ____cacheline_aligned

#endif
