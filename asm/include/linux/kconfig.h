/* SPDX-License-Identifier: GPL-2.0-only */
/* IS_ENABLED() and its relatives: is an option y, or m? */
#ifndef _LINUX_KCONFIG_H
#define _LINUX_KCONFIG_H

#define CONFIG_64BIT 1
#define CONFIG_X86 1
#define CONFIG_X86_64 1
#define CONFIG_SMP 1
#define CONFIG_NR_CPUS 64
#define CONFIG_MODULES 1
#define CONFIG_MODULE_UNLOAD 1
#define CONFIG_KALLSYMS 1
#define CONFIG_KALLSYMS_ALL 1
#define CONFIG_PRINTK 1
#define CONFIG_BUG 1
#define CONFIG_SYSFS 1
#define CONFIG_PROC_FS 1
#define CONFIG_DYNAMIC_FTRACE 1
#define CONFIG_DYNAMIC_FTRACE_WITH_REGS 1
#define CONFIG_DYNAMIC_FTRACE_WITH_ARGS 1
#define CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS 1
#define CONFIG_FUNCTION_TRACER 1
#define CONFIG_FTRACE 1
#define CONFIG_HAVE_LIVEPATCH 1
#define CONFIG_LIVEPATCH 1

/* 1 for a macro that is defined as 1, else 0: the 1 becomes an argument with a comma. */
#define __ARG_PLACEHOLDER_1 0,
#define __take_second_arg(__ignored, value, ...) value
#define __is_defined(x) ___is_defined(x)
#define ___is_defined(value) ____is_defined(__ARG_PLACEHOLDER_##value)
#define ____is_defined(argument_or_junk) __take_second_arg(argument_or_junk 1, 0)
#define __or(x, y) (x || y)

#define IS_BUILTIN(option) __is_defined(option)
#define IS_MODULE(option) __is_defined(option##_MODULE)
#define IS_REACHABLE(option) IS_BUILTIN(option)
#define IS_ENABLED(option) __or(IS_BUILTIN(option), IS_MODULE(option))

#endif
