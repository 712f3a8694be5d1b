/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Runs machine code on the processor itself: requests on stdin, answers on stdout, both binary and in the layout below (all
 * little-endian). The code is at CODE, which is filled up with int3, and the data it may write is at DATA. A case ends at the
 * first exception, an int3 as a rule, or after so many single steps. The signal handler is the only way in and out: it loads the case's registers into the
 * interrupted context and takes them from there, so that every register, rsp included, belongs to the case. A stack pointer that is not canonical
 * is set by an instruction: some kernels and processors do not return from a signal to one, and the case would end before it begins.
 *
 * The limit of a case is work, not time: how long an instruction takes is the host's affair (a busy host, or one whose kernel or
 * hypervisor delays some instructions). A case that has not ended at a tick of the timer goes on in single steps, which are
 * counted. The program's arguments are the time to the first tick in microseconds (0: single steps from the
 * beginning), and the number of steps after which a case ends.
 * (A case that sets the trap flag itself cannot be told from single steps; no case does.)
 *
 * A case counts when two runs in a row end alike: an interrupt in the middle of one may change it. Some hypervisors clear NT there,
 * where a processor keeps it (seen: popf sets NT, and the pushf behind it does not find it).
 */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#define CODE ((uint8_t *)0x10000000)
#define CODE_SIZE 0x10000
#define DATA ((uint8_t *)0x20000000)
#define DATA_SIZE 0x4000
#define PATTERN 64
/* Several times what any case has; a repeated string instruction counts once for each element. */
#define TRAP_FLAG 0x100
#define BUDGET_VECTOR 255
/* So many runs without two in a row that end alike are an error. */
#define RUNS_MAX 100

struct request {
	uint64_t regs[16]; /* in the order of their encoding */
	uint64_t rip, rflags, gs_base;
	uint8_t pattern[PATTERN]; /* fills DATA, over and over */
	uint32_t code_length; /* bytes of code that follow, for CODE */
	uint32_t repeat; /* 1: the code of the case before */
};

struct answer {
	uint64_t regs[16];
	uint64_t rip, rflags;
	uint64_t vector, error, cr2;
	uint64_t changes; /* words of DATA that changed: offset, content */
};

static const int order[16] = {
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

/* Of a movabs and a jump. */
#define ENTRY_SIZE 15

struct outcome {
	struct answer answer;
	uint64_t changed[2 * DATA_SIZE / 8];
};

static struct request request;
/* The code once more, where it can be written. */
static uint8_t *writable;
/* Of the last run and of the one before. */
static struct outcome outcomes[2];
static struct answer answer;
static ucontext_t host;
static volatile int inside;
static long tick = 1000000;
static unsigned steps_max = 200000;
static int stepping;
static unsigned steps;
static uint64_t step_rip; /* where the instruction began that is stepped now */

static void leave(ucontext_t *context)
{
	greg_t *gregs = context->uc_mcontext.gregs;

	for (int i = 0; i < 16; i++)
		answer.regs[i] = gregs[order[i]];
	answer.vector = gregs[REG_TRAPNO];
	answer.error = gregs[REG_ERR];
	answer.cr2 = gregs[REG_CR2];
	/* int3 is a trap: rip is behind it. */
	answer.rip = gregs[REG_RIP] - (answer.vector == 3);
	answer.rflags = gregs[REG_EFL] & ~TRAP_FLAG;
	inside = 0;
	memcpy(gregs, &host.uc_mcontext.gregs, sizeof(host.uc_mcontext.gregs));
	gregs[REG_RIP] += 2; /* over the ud2 that began it */
}

static int is_pushf(const uint8_t *code)
{
	while (*code == 0x66 || (*code & 0xf0) == 0x40)
		code++;
	return *code == 0x9c;
}

/* The case goes on with one instruction, then SIGTRAP. */
static void step(greg_t *gregs)
{
	step_rip = gregs[REG_RIP];
	gregs[REG_EFL] |= TRAP_FLAG;
}

static int is_canonical(uint64_t address)
{
	return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

/* At the end of the code: movabs rsp, then a jump to where the case begins. */
static uint8_t *make_entry(void)
{
	uint8_t *entry = CODE + CODE_SIZE - ENTRY_SIZE;
	uint8_t bytes[ENTRY_SIZE] = { 0x48, 0xbc, [10] = 0xe9 };
	int32_t distance = (int32_t)(request.rip - (uint64_t)entry - sizeof(bytes));

	memcpy(bytes + 2, &request.regs[4], 8);
	memcpy(bytes + 11, &distance, 4);
	memcpy(writable + CODE_SIZE - ENTRY_SIZE, bytes, sizeof(bytes));
	return entry;
}

static void enter(ucontext_t *context)
{
	memcpy(&host.uc_mcontext.gregs, &context->uc_mcontext.gregs, sizeof(host.uc_mcontext.gregs));
	for (int i = 0; i < 16; i++)
		context->uc_mcontext.gregs[order[i]] = request.regs[i];
	context->uc_mcontext.gregs[REG_RIP] = request.rip;
	context->uc_mcontext.gregs[REG_EFL] = request.rflags;
	steps = 0;
	stepping = tick == 0;
	if (!is_canonical(request.regs[4])) {
		/* Without single steps: the first instruction that uses this stack is the last one. */
		context->uc_mcontext.gregs[REG_RSP] = (greg_t)(DATA + DATA_SIZE);
		context->uc_mcontext.gregs[REG_RIP] = (greg_t)make_entry();
	} else if (stepping)
		step(context->uc_mcontext.gregs);
	inside = 1;
}

/* One instruction is done, or one element of a repeated one. Is there work left for the case? */
static int stepped(greg_t *gregs)
{
	if (gregs[REG_RIP] != (greg_t)step_rip && is_pushf((uint8_t *)step_rip))
		*(uint16_t *)gregs[REG_RSP] &= ~TRAP_FLAG;
	if (++steps == steps_max) {
		gregs[REG_TRAPNO] = BUDGET_VECTOR;
		return 0;
	}
	step(gregs);
	return 1;
}

/* The first tick after so many microseconds; 0: none. One that comes before the case is entered changes nothing: there are more. */
static void set_timer(long microseconds)
{
	struct itimerval timer = {
		.it_value = { .tv_sec = microseconds / 1000000, .tv_usec = microseconds % 1000000 },
		.it_interval = { .tv_usec = 1000 },
	};

	setitimer(ITIMER_REAL, &timer, 0);
}

static void handle(int number, siginfo_t *info, void *argument)
{
	ucontext_t *context = argument;
	greg_t *gregs = context->uc_mcontext.gregs;

	(void)info;
	if (!inside) {
		if (number == SIGILL)
			enter(context);
		else if (number != SIGALRM)
			_exit(3);
	} else if (number == SIGALRM) {
		set_timer(0);
		stepping = 1;
		step(gregs);
	} else if (!stepping || number != SIGTRAP || gregs[REG_TRAPNO] != 1 || !stepped(gregs)) {
		leave(context);
	}
}

static int get(void *bytes, size_t length)
{
	return fread(bytes, 1, length, stdin) == length;
}

static void note(struct outcome *outcome)
{
	uint64_t *words = (uint64_t *)DATA;
	uint64_t pattern[PATTERN / 8];

	memcpy(pattern, request.pattern, PATTERN);
	answer.changes = 0;
	for (unsigned i = 0; i < DATA_SIZE / 8; i++) {
		if (words[i] == pattern[i % (PATTERN / 8)])
			continue;
		outcome->changed[2 * answer.changes] = 8 * i;
		outcome->changed[2 * answer.changes++ + 1] = words[i];
	}
	outcome->answer = answer;
}

static void run(struct outcome *outcome)
{
	for (unsigned i = 0; i < DATA_SIZE; i += PATTERN)
		memcpy(DATA + i, request.pattern, PATTERN);
	syscall(SYS_arch_prctl, ARCH_SET_GS, request.gs_base);
	set_timer(tick);
	/* Signals leave NT and ID as they are: a popf of the case before may have set them. */
	__asm__ volatile("pushq $0x202; popfq; ud2" ::: "memory", "cc");
	set_timer(0);
	note(outcome);
}

static int alike(const struct outcome *a, const struct outcome *b)
{
	return !memcmp(&a->answer, &b->answer, sizeof(a->answer)) &&
	       !memcmp(a->changed, b->changed, 16 * a->answer.changes);
}

/* Null: no two runs in a row end alike. */
static const struct outcome *settled(void)
{
	run(&outcomes[0]);
	for (unsigned runs = 1; runs < RUNS_MAX; runs++) {
		run(&outcomes[runs % 2]);
		if (alike(&outcomes[0], &outcomes[1]))
			return &outcomes[0];
	}
	return 0;
}

int main(int argc, char **argv)
{
	const int signals[] = { SIGILL, SIGSEGV, SIGBUS, SIGFPE, SIGTRAP, SIGALRM };
	struct sigaction action = { .sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	stack_t stack = { .ss_size = 1 << 16, .ss_sp = malloc(1 << 16) };
	/* Two mappings of the same pages: the case must not be able to write its code. */
	int fd = memfd_create("code", 0);

	if (argc > 1)
		tick = atol(argv[1]);
	if (argc > 2)
		steps_max = atol(argv[2]);
	if (fd < 0 || ftruncate(fd, CODE_SIZE))
		return 2;
	writable = mmap(0, CODE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mmap(CODE, CODE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0) != CODE ||
	    mmap(DATA, DATA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != DATA)
		return 2;
	sigaltstack(&stack, 0);
	/* A tick while a handler runs would make the handler go on in single steps. */
	sigfillset(&action.sa_mask);
	for (unsigned i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		sigaction(signals[i], &action, 0);
	while (get(&request, sizeof(request))) {
		if (!request.repeat) {
			memset(writable, 0xcc, CODE_SIZE);
			if (request.code_length > CODE_SIZE || !get(writable, request.code_length))
				return 2;
		}
		const struct outcome *outcome = settled();

		if (!outcome)
			return 4;
		fwrite(&outcome->answer, sizeof(outcome->answer), 1, stdout);
		fwrite(outcome->changed, 16, outcome->answer.changes, stdout);
	}
	return 0;
}
