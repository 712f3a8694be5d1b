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
#define KERNEL_PARAM_FL_UNSAFE 1

struct kernel_param_ops {
	unsigned int flags;
	/* 0 or a negative errno. */
	int (*set)(const char *val, const struct kernel_param *kp);
	/* The length of what it has written, or a negative errno. */
	int (*get)(char *buffer, const struct kernel_param *kp);
	void (*free)(void *arg);
};

struct kparam_string {
	unsigned int maxlen;
	char *string;
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
		const struct kparam_string *str;
		const struct kparam_array *arr;
	};
};

/* The types: __param_type(name of the type, type in C). param_set_charp() makes a copy, which param_free_charp() frees. */
#define __param_type(type, ctype) \
	int param_set_##type(const char *val, const struct kernel_param *kp); \
	int param_get_##type(char *buffer, const struct kernel_param *kp); \
	extern const struct kernel_param_ops param_ops_##type; \
	static inline __maybe_unused ctype *param_check_##type(ctype *p) { return p; }
__param_type(byte, unsigned char)
__param_type(short, short)
__param_type(ushort, unsigned short)
__param_type(int, int)
__param_type(uint, unsigned int)
__param_type(long, long)
__param_type(ulong, unsigned long)
__param_type(ullong, unsigned long long)
__param_type(hexint, unsigned int)
__param_type(charp, char *)
__param_type(bool, bool)
__param_type(invbool, bool)
__param_type(bint, int)
__param_type(bool_enable_only, bool)

void param_free_charp(void *arg);
int param_set_uint_minmax(const char *val, const struct kernel_param *kp, unsigned int min, unsigned int max);
int param_set_copystring(const char *val, const struct kernel_param *kp);
int param_get_string(char *buffer, const struct kernel_param *kp);
extern const struct kernel_param_ops param_ops_string, param_array_ops;
extern struct module __this_module;

/* The variable must be of the type that the parameter has. */
#define __param_check(name_, type, variable) \
	static __maybe_unused void __check_##name_(void) { param_check_##type(variable); }

#define __module_param(name_, ops_, perm_, flags_, argument) \
	static const struct kernel_param __param_##name_ \
		__attribute__((__used__, __section__("__param"), __aligned__(sizeof(void *)))) = { \
		.name = #name_, .mod = &__this_module, .ops = ops_, .perm = perm_, .level = -1, .flags = flags_, argument \
	}

#define module_param_named(name, value, type, perm) \
	__param_check(name, type, &value) __module_param(name, &param_ops_##type, perm, 0, .arg = &value)
#define module_param(name, type, perm) module_param_named(name, name, type, perm)
#define module_param_cb(name, ops, argument, perm) __module_param(name, ops, perm, 0, { argument })

/* Who sets it is told that this is dangerous. */
#define module_param_named_unsafe(name, value, type, perm) \
	__param_check(name, type, &value) __module_param(name, &param_ops_##type, perm, KERNEL_PARAM_FL_UNSAFE, .arg = &value)
#define module_param_unsafe(name, type, perm) module_param_named_unsafe(name, name, type, perm)
#define module_param_cb_unsafe(name, ops, argument, perm) \
	__module_param(name, ops, perm, KERNEL_PARAM_FL_UNSAFE, { argument })

#define module_param_string(name, text, size, perm) \
	static const struct kparam_string __param_string_##name = { size, text }; \
	__module_param(name, &param_ops_string, perm, 0, .str = &__param_string_##name)

#define module_param_array_named(name_, array, type, count, perm_) \
	__param_check(name_, type, &(array)[0]) \
	static const struct kparam_array __param_arr_##name_ = { \
		.max = ARRAY_SIZE(array), .elemsize = sizeof((array)[0]), .num = count, .ops = &param_ops_##type, .elem = array, \
	}; \
	__module_param(name_, &param_array_ops, perm_, 0, .arr = &__param_arr_##name_)
#define module_param_array(name, type, count, perm) module_param_array_named(name, name, type, count, perm)

#endif
