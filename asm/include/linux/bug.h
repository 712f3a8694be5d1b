/* SPDX-License-Identifier: GPL-2.0-only */
/* WARN() and BUG(): ud2, with an entry in the section __bug_table that says where and what (arch/x86/include/asm/bug.h). */
#ifndef _LINUX_BUG_H
#define _LINUX_BUG_H

#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/printk.h>
#include <linux/stringify.h>

#define BUGFLAG_WARNING (1 << 0)
#define BUGFLAG_ONCE (1 << 1)
#define BUGFLAG_DONE (1 << 2)
#define BUGFLAG_NO_CUT_HERE (1 << 3)

#define _BUG_FLAGS(flags) \
	__asm__ __volatile__("1:	ud2\n" \
			     ".pushsection __bug_table, \"aw\"\n" \
			     "2:	.long 1b - .\n" \
			     "	.long %c0 - .\n" \
			     "	.word %c1\n" \
			     "	.word %c2\n" \
			     ".popsection\n" \
			     : : "i"(__FILE__), "i"(__LINE__), "i"(flags))

#define BUG() do { _BUG_FLAGS(0); __builtin_unreachable(); } while (0)
#define BUG_ON(condition) do { if (unlikely(condition)) BUG(); } while (0)

#define __WARN_FLAGS(flags) _BUG_FLAGS(BUGFLAG_WARNING | (flags))
#define __WARN() __WARN_FLAGS(0)

#define WARN_ON(condition) ({ \
	int __ret_warn_on = !!(condition); \
	if (unlikely(__ret_warn_on)) \
		__WARN(); \
	unlikely(__ret_warn_on); })

#define WARN_ON_ONCE(condition) ({ \
	int __ret_warn_on = !!(condition); \
	if (unlikely(__ret_warn_on)) \
		__WARN_FLAGS(BUGFLAG_ONCE); \
	unlikely(__ret_warn_on); })

#define WARN(condition, format...) ({ \
	int __ret_warn_on = !!(condition); \
	if (unlikely(__ret_warn_on)) { \
		__warn_printk(format); \
		__WARN_FLAGS(BUGFLAG_NO_CUT_HERE); \
	} \
	unlikely(__ret_warn_on); })

#define WARN_ONCE(condition, format...) ({ \
	static bool __warned; \
	int __ret_warn_on = !!(condition); \
	if (unlikely(__ret_warn_on && !__warned)) { \
		__warned = true; \
		__warn_printk(format); \
		__WARN_FLAGS(BUGFLAG_NO_CUT_HERE); \
	} \
	unlikely(__ret_warn_on); })

#endif
