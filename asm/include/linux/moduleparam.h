/* SPDX-License-Identifier: GPL-2.0-only */
/* Module parameters, as entries of the section __param. */
#ifndef _LINUX_MODULEPARAM_H
#define _LINUX_MODULEPARAM_H

#include <linux/kernel.h>
#include <linux/types.h>

#define MODULE_INFO(tag, info) \
	static const char __concat(__modinfo_, __COUNTER__)[] \
		__attribute__((__used__, __section__(".modinfo"), __aligned__(1))) = #tag "=" info
#define MODULE_PARM_DESC(name, text) MODULE_INFO(parm, #name ":" text)

struct module;
struct kernel_param;

/* A parameter of this type may stand without a value. */
#define KERNEL_PARAM_OPS_FL_NOARG 1

struct kernel_param_ops {
	unsigned int flags;
	/* 0 or a negative errno. */
	int (*set)(const char *val, const struct kernel_param *kp);
	/* The length of what it has written, or a negative errno. */
	int (*get)(char *buffer, const struct kernel_param *kp);
	void (*free)(void *arg);
};

struct kparam_array {
	unsigned int max;
	unsigned int elemsize;
	unsigned int *num;
	const struct kernel_param_ops *ops;
	void *elem;
};

struct kernel_param {
	const char *name;
	struct module *mod;
	const struct kernel_param_ops *ops;
	const u16 perm;
	s8 level;
	u8 flags;
	union {
		void *arg;
		const struct kparam_array *arr;
	};
};

/* One for each type. */
extern const struct kernel_param_ops param_ops_bool, param_ops_byte, param_ops_short, param_ops_ushort, param_ops_int,
	param_ops_uint, param_ops_long, param_ops_ulong, param_ops_ullong, param_ops_hexint, param_ops_charp, param_array_ops;
extern struct module __this_module;

#define __module_param(name_, ops_, perm_, argument) \
	static const struct kernel_param __param_##name_ \
		__attribute__((__used__, __section__("__param"), __aligned__(sizeof(void *)))) = { \
		.name = #name_, .mod = &__this_module, .ops = &ops_, .perm = perm_, .level = -1, argument \
	}

#define module_param_named(name, value, type, perm) \
	__module_param(name, param_ops_##type, perm, .arg = &value)
#define module_param(name, type, perm) module_param_named(name, name, type, perm)
#define module_param_cb(name, ops, argument, perm) \
	static const struct kernel_param __param_##name __used __section("__param") __aligned(sizeof(void *)) = { \
		#name, &__this_module, ops, perm, -1, 0, { argument } \
	}

#define module_param_array(name, type, count, perm) \
	static const struct kparam_array __param_arr_##name = { \
		.max = ARRAY_SIZE(name), .elemsize = sizeof(name[0]), .num = count, .ops = &param_ops_##type, .elem = name, \
	}; \
	__module_param(name, param_array_ops, perm, .arr = &__param_arr_##name)

#endif
