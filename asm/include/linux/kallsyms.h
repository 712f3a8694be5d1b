/* SPDX-License-Identifier: GPL-2.0-only */
/* Names of addresses. */
#ifndef _LINUX_KALLSYMS_H
#define _LINUX_KALLSYMS_H

#include <linux/compiler.h>
#include <linux/types.h>

#define KSYM_NAME_LEN 512
#define KSYM_SYMBOL_LEN (KSYM_NAME_LEN + 64)

/* `name+0x1/0x20 [module]`, into a buffer of KSYM_SYMBOL_LEN bytes; the length. */
int sprint_symbol(char *buffer, unsigned long address);

unsigned long kallsyms_lookup_name(const char *name)
	__compiletime_error("kallsyms_lookup_name() is not exported to modules: name the symbol as .klp.sym.OBJECT.NAME,POS");

#endif
