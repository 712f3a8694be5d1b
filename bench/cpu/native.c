// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hardware's side of the Cpu benchmark: guest.c's object, linked here, with the trampoline that klpemu assembles and a
 * handler that does the reads of the TypeScript one. One line per row: name, nanoseconds per unit, result for CHECK units.
 *
 * usage: native TRAMPOLINE_HEX OP_PTR CALL MILLISECONDS
 * (code of ftrace_caller up to ftrace_caller_end, and the offsets in it of the ops load and of the call)
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "rows.h"

long traced(long x);
long lp_traced(long x);
long bench_call(long n);
long bench_loop(long n);
long bench_crc(long n);
long bench_sort(long n);
long bench_siphash(long n);
long bench_memcpy(long n);

struct func {
	struct func *next;
	void *new_func;
	char nop, transition;
};

struct ops {
	struct func *func_stack;
};

struct task {
	int patch_state;
	int trace_recursion;
};

static struct func patched = { 0, lp_traced, 0, 0 };
static struct ops ops = { &patched };
static struct task task = { -1, 0 };
static struct task *volatile current = &task;

void __fentry__(void) {}

/* Called with the registers of a traced function, all but those that C may change saved by the trampoline. */
__attribute__((target("general-regs-only"), noinline))
void klp_ftrace_handler(unsigned long ip, unsigned long parent, struct ops *o, unsigned long *regs)
{
	struct task *t = current;
	struct func *f;

	(void)ip;
	(void)parent;
	if (t->trace_recursion)
		return;
	f = *(struct func *volatile *)&o->func_stack;
	if (!f)
		return;
	if (*(volatile char *)&f->transition && *(volatile int *)&t->patch_state == 0)
		f = f->next;
	if (!f || f->nop)
		return;
	regs[128 / 8] = (unsigned long)f->new_func;
}

static void poke(unsigned char *site, const unsigned char *code)
{
	unsigned long page = (unsigned long)site & ~4095UL;

	if (mprotect((void *)page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC)) {
		perror("mprotect");
		exit(1);
	}
	memcpy(site, code, 5);
}

static void call(unsigned char *out, const void *at, const void *target)
{
	int32_t rel = (long)target - ((long)at + 5);

	out[0] = 0xe8;
	memcpy(out + 1, &rel, 4);
}

static void *create_trampoline(const char *hex, int op_ptr, int call_at)
{
	int size = strlen(hex) / 2;
	/* Within reach of a call from the program's text; qemu-user does not know MAP_32BIT. */
	static unsigned char code[4096] __attribute__((aligned(4096)));
	void *slot = &ops;
	int32_t rel = size + 2 - (op_ptr + 7);

	if (mprotect(code, sizeof(code), PROT_READ | PROT_WRITE | PROT_EXEC)) {
		perror("mprotect");
		exit(1);
	}
	for (int i = 0; i < size; i++) {
		unsigned byte;

		sscanf(hex + 2 * i, "%2x", &byte);
		code[i] = byte;
	}
	code[size] = 0xc3;
	code[size + 1] = 0xcc;
	memcpy(code + size + 2, &slot, 8);
	memcpy(code + op_ptr + 3, &rel, 4);
	call(code + call_at, code + call_at, klp_ftrace_handler);
	return code;
}

int main(int argc, char **argv)
{
	static const unsigned char nop5[5] = { 0x0f, 0x1f, 0x44, 0x00, 0x00 };
	unsigned char insn[5];
	double budget;

	if (argc != 5)
		return 2;
	budget = atof(argv[4]) * 1e6;
	poke((unsigned char *)traced, nop5);
	poke((unsigned char *)lp_traced, nop5);
	row("loop", bench_loop, budget);
	row("call", bench_call, budget);
	call(insn, (void *)traced, create_trampoline(argv[1], atoi(argv[2]), atoi(argv[3])));
	poke((unsigned char *)traced, insn);
	row("redirect", bench_call, budget);
	row("crc", bench_crc, budget);
	row("sort", bench_sort, budget);
	row("siphash", bench_siphash, budget);
	row("memcpy", bench_memcpy, budget);
	return 0;
}
