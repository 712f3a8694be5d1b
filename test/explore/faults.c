// SPDX-License-Identifier: GPL-2.0-only
/* A module whose init reads where nothing is mapped. */
#include <linux/module.h>

static long *nowhere = (long *)0x1234;

static int faults_init(void) { return (int)*(volatile long *)nowhere; }
static void faults_exit(void) { }
module_init(faults_init);
module_exit(faults_exit);
MODULE_LICENSE("GPL");
