/* SPDX-License-Identifier: GPL-2.0-only */
/* The smaller and the larger of two values. Both must be of the same type, as in the kernel. */
#ifndef _LINUX_MINMAX_H
#define _LINUX_MINMAX_H

#include <linux/build_bug.h>
#include <linux/compiler.h>

#define __is_signed_type(x) ((typeof(x))-1 < (typeof(x))1)
#define __is_constant(x) __builtin_constant_p(x)
/* Of the same signedness, or a constant that is not negative in either. */
#define __types_ok(x, y) \
	(__is_signed_type((x) + 0) == __is_signed_type((y) + 0) || \
	 (__is_constant(x) && __builtin_choose_expr(__is_constant(x), (long)(x), -1L) >= 0) || \
	 (__is_constant(y) && __builtin_choose_expr(__is_constant(y), (long)(y), -1L) >= 0))

#define __compared(x, y, comparison, name) ({ \
	_Static_assert(__types_ok(x, y), name "(" #x ", " #y ") signedness error, fix types or consider u" name "() before " name "_t()"); \
	typeof(x) __compared_x = (x); \
	typeof(y) __compared_y = (y); \
	__compared_x comparison __compared_y ? __compared_x : __compared_y; })

#define min(x, y) __compared(x, y, <, "min")
#define max(x, y) __compared(x, y, >, "max")
#define min_t(type, x, y) ({ type __min_x = (x); type __min_y = (y); __min_x < __min_y ? __min_x : __min_y; })
#define max_t(type, x, y) ({ type __max_x = (x); type __max_y = (y); __max_x > __max_y ? __max_x : __max_y; })
#define min3(x, y, z) ({ typeof(x) __min3 = min(x, y); min(__min3, z); })
#define max3(x, y, z) ({ typeof(x) __max3 = max(x, y); max(__max3, z); })
#define clamp(value, low, high) ({ typeof(value) __clamped = max(value, low); min(__clamped, high); })
#define clamp_t(type, value, low, high) min_t(type, max_t(type, value, low), high)
#define clamp_val(value, low, high) clamp_t(typeof(value), value, low, high)
#define min_not_zero(x, y) ({ \
	typeof(x) __mnz_x = (x); \
	typeof(y) __mnz_y = (y); \
	__mnz_x == 0 ? __mnz_y : __mnz_y == 0 ? __mnz_x : min(__mnz_x, __mnz_y); })
#define swap(a, b) do { typeof(a) __swapped = (a); (a) = (b); (b) = __swapped; } while (0)

#endif
