/** What a .ko calls and reads because it was compiled with the kernel's headers. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CPU_NAMES } from "../../../src/node/index.js";
import { KO_LAYOUT, makeKo } from "../../support/ko.js";
import { createTestMachine, type TestMachine } from "../../support/machine.js";

const HEAD = `
extern u64 result[16];
u64 result[16];
void *__kmalloc_cache_noprof(void *cache, u32 flags, u64 size);
void *__kmalloc_noprof(u64 size, u32 flags);
void kfree(void *);
extern void *kmalloc_caches[4][14], *system_wq, *system_percpu_wq;
_Bool __list_add_valid_or_report(void *added, void *prev, void *next);
_Bool __list_del_entry_valid_or_report(void *entry);
static inline char *current(void)
{
	char *task;
	__asm__("movq %%gs:const_pcpu_hot+16(%%rip), %0" : "=r"(task));
	return task;
}
#define PID(task) (*(u32 *)((task) + 4500))
#define STATE(task) (*(volatile u32 *)((task) + 24))
`;
const plain = (body: string, more = "") => `${HEAD}${more}
static int lp_init(void) { ${body} return 0; }
static void lp_exit(void) { }
`;
const ENOENT = -2;

describe.each(CPU_NAMES)("on %s", (cpu) => {
	let machine: TestMachine;
	beforeEach(async () => {
		machine = await createTestMachine({ cpu, kernel: true, cpus: 2, kernelLayout: KO_LAYOUT });
	});
	afterEach(() => machine.close());
	const load = async (body: string, name = "ko") =>
		machine.insmodC(name, await makeKo(name, body, { livepatch: false }));
	const results = (count: number) =>
		Array.from({ length: count }, (_, index) => machine.it.memory.u64((machine.addr("result") + 8 * index) | 0));

	test("current is the task that executes, wherever it runs", async () => {
		const more = `noinline long who(long x) { return 1000 * PID(current()) + current()[4520]; }`;
		expect(await load(plain("result[0] = PID(current());", more))).toBe(0);
		expect(results(1)).toEqual([BigInt(machine.it.shell.task.pid)]);
		for (const name of ["a", "b", "c"]) {
			const task = machine.task(name, "who");
			expect(machine.call(task, "who")).toBe(1000 * task.pid + name.charCodeAt(0));
			machine.rounds(7);
		}
	});

	test("kmalloc() by cache and by size; the count of objects is the heap's", async () => {
		const before = machine.it.heap.count;
		const body = `
u64 *a = __kmalloc_cache_noprof(kmalloc_caches[0][6], 0x100 | 0xcc0, 48), *b = __kmalloc_noprof(5000, 0xcc0);
result[0] = a && b; result[1] = a[5]; b[600] = 7; kfree(b); result[2] = (u64)a;`;
		expect(await load(plain(body))).toBe(0);
		const [made, zero, a] = results(3);
		expect([made, zero]).toEqual([1n, 0n]);
		expect(machine.it.heap.usedSize(Number(BigInt.asIntN(32, a!)))).toBe(64);
		expect(machine.it.heap.count).toBe(before + 1);
	});

	test("list operations are checked; a damaged list is told of in the kernel's words", async () => {
		const body = `
u64 head[2] = { (u64)head, (u64)head }, a[2] = { 0 }, b[2] = { 0 };
result[0] = __list_add_valid_or_report(a, head, head);
head[0] = (u64)b;
result[1] = __list_add_valid_or_report(a, head, head);
head[0] = (u64)head;
result[2] = __list_add_valid_or_report(head, head, head);
a[0] = 0xdead000000000100; a[1] = 0xdead000000000122;
result[3] = __list_del_entry_valid_or_report(a);
a[0] = a[1] = (u64)b;
result[4] = __list_del_entry_valid_or_report(a);
b[0] = b[1] = (u64)a;
result[5] = __list_del_entry_valid_or_report(a);
result[6] = __list_add_valid_or_report(a, 0, head) | __list_add_valid_or_report(a, head, 0);
head[1] = (u64)b;
result[7] = __list_add_valid_or_report(a, head, head);
a[0] = (u64)b; a[1] = 0xdead000000000122;
result[8] = __list_del_entry_valid_or_report(a);
a[0] = 0; result[9] = __list_del_entry_valid_or_report(a);
a[0] = (u64)b; a[1] = 0; result[10] = __list_del_entry_valid_or_report(a);
a[0] = a[1] = (u64)b; b[1] = 0;
result[11] = __list_del_entry_valid_or_report(a);`;
		expect(await load(plain(body))).toBe(0);
		expect(results(12).map((value) => Number(value & 1n))).toEqual([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
		expect(machine.dmesg("list_").map((line) => line.replace(/f{8}[0-9a-f]{8}/g, "P"))).toEqual([
			"list_add corruption. prev->next should be next (P), but was P. (prev=P).",
			"list_add double add: new=P, prev=P, next=P.",
			"list_del corruption, P->next is LIST_POISON1 (dead000000000100)",
			"list_del corruption. prev->next should be P, but was 0000000000000000. (prev=P)",
			"list_add corruption. prev is NULL.",
			"list_add corruption. next is NULL.",
			"list_add corruption. next->prev should be prev (P), but was P. (next=P).",
			"list_del corruption, P->prev is LIST_POISON2 (dead000000000122)",
			"list_del corruption, P->next is NULL",
			"list_del corruption, P->prev is NULL",
			"list_del corruption. next->prev should be P, but was 0000000000000000. (next=P)",
		]);
		expect(machine.it.dmesg.warnings).toHaveLength(11);
	});

	test("works: queue_work_on(), queue_delayed_work_on(), flush_work() on structs of the kernel's layout", async () => {
		const more = `
struct work { u64 data, entry[2]; void (*func)(struct work *); };
static struct { struct work work; u64 timer[5]; void *wq; int cpu; } delayed;
void delayed_work_timer_fn(void *);
static struct work work;
static void ran(struct work *w) { result[w == &work ? 0 : 1]++; }
_Bool queue_work_on(int cpu, void *wq, struct work *), flush_work(struct work *);
_Bool queue_delayed_work_on(int cpu, void *wq, void *work, u64 delay);`;
		const body = `
work.func = ran; delayed.work.func = ran; delayed.timer[3] = (u64)delayed_work_timer_fn;
result[2] = queue_work_on(8192, system_percpu_wq, &work);
result[3] = queue_work_on(8192, system_wq, &work);
flush_work(&work);
queue_delayed_work_on(8192, system_wq, &delayed, 5);`;
		expect(await load(plain(body, more))).toBe(0);
		expect(results(4).map((value) => value & 0xffn)).toEqual([1n, 0n, 1n, 0n]);
		machine.rounds(50);
		expect(results(2)).toEqual([1n, 1n]);
	});

	test("set_current_state() in the task's own struct; wake_up_process() takes it back", async () => {
		const more = `
void schedule(void); int wake_up_process(void *task);
static char *sleeper;
noinline long sleeps(long x) { sleeper = current(); result[0]++; STATE(sleeper) = 1; schedule(); result[1]++; return STATE(sleeper); }
noinline long wakes(long x) { return wake_up_process(sleeper); }`;
		expect(await load(plain("", more))).toBe(0);
		const task = machine.kthread("sleeper", "sleeps");
		machine.rounds(60);
		expect(results(2)).toEqual([1n, 0n]);
		expect(task.__state).toBe(1);
		expect(machine.call(machine.task("t", "wakes"), "wakes")).toBe(1);
		machine.until(() => results(2)[1] === 1n);
		expect(task.lastResult).toBe(0n);
	});

	test("spin locks exclude, and count as disabled preemption", async () => {
		const more = `
void _raw_spin_lock(u32 *), _raw_spin_unlock(u32 *);
static u32 lock;
noinline long adds(long x)
{
	for (int i = 0; i < 40; i++) {
		_raw_spin_lock(&lock);
		u64 value = *(volatile u64 *)&result[0];
		for (int j = 0; j < 9; j++) __asm__ __volatile__("nop");
		*(volatile u64 *)&result[0] = value + 1;
		_raw_spin_unlock(&lock);
		__atomic_fetch_add(&result[1], 1, __ATOMIC_SEQ_CST);
	}
	return 0;
}`;
		expect(await load(plain("", more))).toBe(0);
		const tasks = ["a", "b", "c"].map((name) => machine.task(name, "adds"));
		for (const task of tasks) machine.call(task, "adds");
		const [inside, passed] = results(2).map(Number) as [number, number];
		// A lost update would make it smaller; a task that has not counted itself yet, larger.
		expect(passed).toBeGreaterThan(119);
		expect(inside - passed).toBeGreaterThanOrEqual(0);
		expect(inside - passed).toBeLessThanOrEqual(3);
		expect(tasks.map(({ preempt_count }) => preempt_count)).toEqual([0, 0, 0]);
	});

	// include/asm/paravirt.h: a call through pv_ops, of what it has (BUG_func: nothing), in place of it the instructions if there is no Xen.
	const paravirt = (native: string) => `
__asm__(".pushsection .text\\nsave_fl: 1: call *pv_ops+248(%rip)\\n2: ret\\n.popsection\\n"
	".pushsection .altinstr_replacement, \\"ax\\"\\n3: call BUG_func\\n4: ${native}\\n5:\\n.popsection\\n"
	".pushsection .altinstructions, \\"a\\"\\n.long 1b - ., 3b - .\\n.word 117, 2\\n.byte 2b - 1b, 5\\n"
	"${native === "" ? "" : ".long 1b - ., 4b - .\\n.word 272, 1\\n.byte 2b - 1b, 5b - 4b\\n"}.popsection");
u64 save_fl(void);
`;

	test("a call through pv_ops is the processor's own instructions", async () => {
		expect(await load(plain("result[0] = save_fl();", paravirt("pushf; pop %rax")))).toBe(0);
		expect(results(1)[0]! & 0x2n).toBe(2n);
		const site = machine.addr("save_fl");
		expect([...machine.it.memory.read(site, 6)]).toEqual([0x9c, 0x58, 0x0f, 0x1f, 0x40, 0x00]);
	});

	test("one that only a hypervisor has is a BUG() of its caller", async () => {
		await expect(load(plain("result[0] = save_fl();", paravirt("")))).rejects.toMatchObject({ code: "GUEST_OOPS" });
		expect(machine.dmesg("Oops").join()).toContain("invalid opcode");
	});

	test("a static key that a module enables changes its sites", async () => {
		const more = `
static struct { u32 enabled; u64 type; } key __attribute__((__used__));
void static_key_enable(void *), static_key_disable(void *), static_key_slow_dec(void *); _Bool static_key_slow_inc(void *);
noinline long branches(long x)
{
	__asm__ goto("1: .byte 0x0f, 0x1f, 0x44, 0, 0\\n.pushsection __jump_table, \\"aw\\"\\n.balign 8\\n.long 1b - ., %l[on] - .\\n"
		".quad key - .\\n.popsection" : : : : on);
	return 1;
on:
	return 2;
}`;
		const body = `
result[0] = branches(0); static_key_enable(&key); result[1] = branches(0); static_key_slow_inc(&key); static_key_slow_dec(&key);
result[2] = branches(0); static_key_disable(&key); result[3] = branches(0);`;
		expect(await load(plain(body, more))).toBe(0);
		expect(results(4)).toEqual([1n, 2n, 2n, 1n]);
	});

	test("per-CPU variables have their initial value on each CPU, and their place is free again after rmmod", async () => {
		const body = plain(
			'__asm__("movq %%gs:mine(%%rip), %0" : "=r"(result[0]));',
			`
__asm__(".pushsection .data..percpu, \\"aw\\"\\n.balign 8\\nmine: .quad 0x1234\\n.popsection");`,
		);
		for (let i = 0; i < 600; i++) {
			expect(await load(body)).toBe(0);
			if (i % 200 === 0) expect(results(1)).toEqual([0x1234n]);
			expect(machine.it.shell.rmmod("ko")).toBe(0);
		}
	});

	test("another module finds what a .ko exports, and nothing else of it", async () => {
		const exported = `
noinline long exported(long x) { return x + 1; }
noinline long hidden(long x) { return x + 2; }
__asm__(".pushsection __ksymtab_strings, \\"aMS\\", @progbits, 1\\nname: .asciz \\"exported\\"\\n.popsection\\n"
	".pushsection __ksymtab_gpl, \\"a\\"\\n.balign 4\\n.long exported - ., name - ., 0\\n.popsection");
`;
		expect(await load(plain("", exported), "one")).toBe(0);
		const user = (name: string) => plain(`result[0] = ${name}(3);`, `long ${name}(long x);`);
		expect(await load(user("hidden"), "two")).toBe(ENOENT);
		expect(machine.dmesg("two: ")).toEqual(["two: Unknown symbol hidden (err -2)"]);
		expect(await load(user("exported"), "three")).toBe(0);
		const three = machine.it.modules.get("three")!;
		expect(machine.it.memory.u64(three.image.symbol("result")!.address)).toBe(4n);
		expect(machine.it.modules.get("one")!.refcount).toBe(1);
	});

	test("a damaged table of exports is an error of the file", async () => {
		const damaged = `__asm__(".pushsection __ksymtab, \\"a\\"\\n.long 0, 0x40000000, 0\\n.popsection");`;
		await expect(load(plain("", damaged))).rejects.toThrow(/'__ksymtab' offset 0x0: the name of the exported symbol/);
		const half = `__asm__(".pushsection __ksymtab, \\"a\\"\\n.long 0\\n.popsection");`;
		await expect(load(plain("", half))).rejects.toThrow(/'__ksymtab' has 4 bytes: not whole entries of 12 bytes/);
	});

	test("a corrupted stack is a panic of the task", async () => {
		const more = "void __stack_chk_fail(void); noinline long smashes(long x) { __stack_chk_fail(); return 0; }";
		expect(await load(plain("", more))).toBe(0);
		const task = machine.task("t", "smashes");
		machine.until(() => task.oops !== undefined);
		expect(machine.dmesg("Kernel panic")).toEqual([
			"Kernel panic - not syncing: stack-protector: Kernel stack is corrupted",
		]);
	});
});
