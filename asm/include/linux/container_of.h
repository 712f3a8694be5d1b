/* SPDX-License-Identifier: GPL-2.0-only */
/* From a member to the struct that holds it. */
#ifndef _LINUX_CONTAINER_OF_H
#define _LINUX_CONTAINER_OF_H

#include <linux/build_bug.h>
#include <linux/compiler.h>

#define typeof_member(type, member) typeof(((type *)0)->member)

#define container_of(pointer, type, member) ({ \
	static_assert(__same_type(*(pointer), ((type *)0)->member) || __same_type(*(pointer), void), \
		      "pointer type mismatch in container_of()"); \
	(type *)((char *)(pointer) - __builtin_offsetof(type, member)); })

#endif
