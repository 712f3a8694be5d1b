/* SPDX-License-Identifier: GPL-2.0-only */
/* Every global symbol of a module can be linked against: nothing has to be done for it. */
#ifndef _LINUX_EXPORT_H
#define _LINUX_EXPORT_H

#define EXPORT_SYMBOL(symbol)
#define EXPORT_SYMBOL_GPL(symbol)
#define EXPORT_SYMBOL_NS(symbol, ns)
#define EXPORT_SYMBOL_NS_GPL(symbol, ns)

#endif
