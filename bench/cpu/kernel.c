// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hardware's side of a redirect by the kernel's own code: guest.c's object and a kernel core file, linked here at low addresses.
 * The kernel's klp_ftrace_handler() runs as it is: its per-CPU variables are plain ones, because the base of gs is 0 in a process. Two
 * things are done to its code, as a kernel does at boot: returns through the thunk become returns, runs of nops become one nop.
 * The offsets in the structs are given by -D. One line per row: name, nanoseconds per unit, result for CHECK units.
 *
 * usage: kernel MILLISECONDS
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "rows.h"

long traced(long x);
long lp_traced(long x);
long bench_call(long n);
long bench_loop(long n);

/* The kernel's. */
void klp_ftrace_handler(void);
extern unsigned char ftrace_caller[], ftrace_caller_op_ptr[], ftrace_call[], ftrace_caller_end[];
extern char pcpu_hot[];
extern int32_t __start_return_sites[], __stop_return_sites[];

/* struct klp_ops with one or two struct klp_func on its func_stack, and the struct task_struct that is `current`. */
static char ops[512] __attribute__((aligned(64)));
static char func[512] __attribute__((aligned(64)));
static char newer[512] __attribute__((aligned(64)));
static char task[1 << 15] __attribute__((aligned(64)));

#define AT(type, struct, offset) (*(type *)((struct) + (offset)))
#define ENDBR64 4

static void writable(const void *at)
{
	unsigned long page = (unsigned long)at & ~4095UL;

	if (mprotect((void *)page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC)) {
		perror("mprotect");
		exit(1);
	}
}

static void poke(void *at, const void *bytes, int size)
{
	writable(at);
	memcpy(at, bytes, size);
}

static void call(void *at, const void *target)
{
	unsigned char insn[5] = { 0xe8 };
	int32_t rel = (long)target - ((long)at + 5);

	memcpy(insn + 1, &rel, 4);
	poke(at, insn, 5);
}

/* As create_trampoline(): a copy of ftrace_caller with a return and the ops behind it. */
static void *create_trampoline(void)
{
	static unsigned char code[4096] __attribute__((aligned(4096)));
	static const unsigned char nop9[9] = { 0x66, 0x0f, 0x1f, 0x84 };
	int size = ftrace_caller_end - ftrace_caller;
	int op_ptr = ftrace_caller_op_ptr - ftrace_caller;
	void *fops = ops + KLP_OPS_FOPS;
	int32_t rel = size + 2 - (op_ptr + 7);

	writable(code);
	memcpy(code, ftrace_caller, size);
	for (int i = 0; i + 9 <= size; i++) {
		static const unsigned char run[9] = { 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90 };

		if (!memcmp(code + i, run, 9))
			memcpy(code + i, nop9, 9);
	}
	code[size] = 0xc3;
	code[size + 1] = 0xcc;
	memcpy(code + size + 2, &fops, 8);
	memcpy(code + op_ptr + 3, &rel, 4);
	call(code + (ftrace_call - ftrace_caller), klp_ftrace_handler);
	return code;
}

static void patch_returns(void)
{
	for (int32_t *site = __start_return_sites; site < __stop_return_sites; site++) {
		unsigned char *jump = (unsigned char *)site + *site;

		if (*jump == 0xe9)
			poke(jump, "\xc3\xcc\xcc\xcc\xcc", 5);
	}
}

/* The entries of the func_stack by their new functions, the newer one first; NULL: there is none. */
static void func_stack(void *newer_func, void *new_func)
{
	char *head = ops + KLP_OPS_FUNC_STACK, *last = func + KLP_FUNC_STACK_NODE, *first = last;

	if (newer_func) {
		first = newer + KLP_FUNC_STACK_NODE;
		AT(void *, first, 0) = last;
	}
	AT(void *, head, 0) = first;
	AT(void *, last, 0) = head;
	AT(void *, newer, KLP_FUNC_NEW_FUNC) = newer_func;
	AT(void *, func, KLP_FUNC_NEW_FUNC) = new_func;
}

/* The cases of an open transition to patched: a call of a task in this state. */
static void transition(int patch_state)
{
	AT(int, task, TASK_PATCH_STATE) = patch_state;
	AT(char, newer, KLP_FUNC_TRANSITION) = 1;
}

/* A function that must not be called. */
static long wrong(long x)
{
	abort();
}

static void enable(void)
{
	func_stack(NULL, lp_traced);
	AT(int, task, TASK_PATCH_STATE) = -1;
	AT(void *, pcpu_hot, PCPU_CURRENT_TASK) = task;
	AT(unsigned, pcpu_hot, PCPU_PREEMPT_COUNT) = 0x80000000;
}

int main(int argc, char **argv)
{
	static const unsigned char nop5[5] = { 0x0f, 0x1f, 0x44, 0x00, 0x00 };
	double budget;

	if (argc != 2)
		return 2;
	budget = atof(argv[1]) * 1e6;
	poke((char *)traced + ENDBR64, nop5, 5);
	poke((char *)lp_traced + ENDBR64, nop5, 5);
	row("loop", bench_loop, budget);
	row("call", bench_call, budget);
	patch_returns();
	enable();
	call((char *)traced + ENDBR64, create_trampoline());
	row("redirect", bench_call, budget);
	func_stack(lp_traced, wrong);
	transition(1);
	row("patched", bench_call, budget);
	func_stack(wrong, lp_traced);
	transition(0);
	row("previous", bench_call, budget);
	/* A task that has switched, and what it leaves has nothing below it: a nop says so, or the entry itself. */
#ifdef KLP_FUNC_NOP
	AT(char, newer, KLP_FUNC_NOP) = 1;
#else
	func_stack(NULL, wrong);
	AT(char, func, KLP_FUNC_TRANSITION) = 1;
	AT(char, func, KLP_FUNC_LEAVING) = 1;
#endif
	transition(1);
	row("nop", bench_call, budget);
#ifndef KLP_FUNC_NOP
	AT(char, func, KLP_FUNC_LEAVING) = 0;
#endif
	AT(char, func, KLP_FUNC_TRANSITION) = 1;
	func_stack(NULL, wrong);
	transition(0);
	row("original", bench_call, budget);
	return 0;
}
