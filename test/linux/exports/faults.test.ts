/** What guest code hands to the kernel is checked: a bad pointer is a fault of the task that names the address, on every Cpu. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { KlpemuError } from "../../../src/base/index.js";
import { TASK_DEAD } from "../../../src/linux/sched/index.js";
import { ENGINE_GATES, KERNEL_GATES } from "../../../src/machine/index.js";
import { CPU_NAMES } from "../../../src/node/index.js";
import { FtraceTest } from "../../support/ftrace.js";
import { compileModule, createTestMachine, type TestMachine } from "../../support/machine.js";

const HEAD = `
#include <linux/completion.h>
#include <linux/kobject.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
MODULE_LICENSE("GPL");
extern long funcA(long x);
static char buf[64];
static int m_init(void) { return 0; }
static void m_exit(void) { }
module_init(m_init);
module_exit(m_exit);
noinline long leaf(long x) { barrier(); return x + 1; }
`;

describe.each(CPU_NAMES)("on %s", (cpu) => {
	let machine: TestMachine;
	beforeEach(async () => {
		machine = await createTestMachine({ cpu, kernel: true });
	});
	afterEach(() => machine.close());

	/** Runs `body` as a function of a module in a task of its own; what the task died of. */
	async function run(body: string): Promise<string | undefined> {
		const text = `${HEAD}noinline long tried(long x) { ${body} return 0; }\n`;
		expect(machine.insmodC("m", await compileModule("m", text))).toBe(0);
		const task = machine.task("t", "tried");
		machine.rounds(30);
		return task.oops;
	}

	test.each([...ENGINE_GATES, ...KERNEL_GATES])(
		"%s, called at its address with bad pointers, changes no text",
		async (name) => {
			const call = (at: string) =>
				`((void (*)(unsigned long, unsigned long, unsigned long, unsigned long))gate)(${at}, ${at}, ${at}, ${at});`;
			// One text for all gates, so that it is compiled once.
			const text = `${HEAD}unsigned long gate;\n${["(unsigned long)funcA", "0x1234", "-8L"]
				.map((at, i) => `noinline long tried${i}(long x) { ${call(at)} return leaf(x); }`)
				.join("\n")}`;
			expect(machine.insmodC("m", await compileModule("m", text))).toBe(0);
			machine.it.memory.setU64(machine.addr("gate"), BigInt(new FtraceTest(machine).gate(name)));
			const before = machine.text();
			for (const i of [0, 1, 2]) {
				const task = machine.task(`t${i}`, `tried${i}`);
				try {
					machine.rounds(10);
				} catch (error) {
					// A recursion bit that guest code has set disables preemption.
					if (!(error instanceof KlpemuError) || error.code !== "PREEMPTION_DISABLED") throw error;
				}
				if (task.__state !== TASK_DEAD) machine.it.sched.remove(task);
			}
			expect(machine.text()).toEqual(before);
		},
	);
	test("modules cannot link against the gates of the engine's assembly", async () => {
		const text = `${HEAD}void trace_clear_recursion(int bit); noinline long tried(long x) { trace_clear_recursion(3); return 0; }`;
		expect(machine.insmodC("m", await compileModule("m", text))).toBe(-2);
		expect(machine.dmesg("Unknown symbol trace_clear_recursion (err -2)").length).toBe(1);
	});

	test.each([
		["mutex_lock((void *)0x1234);", "0x0000000000001234"],
		["mutex_unlock((void *)-8L);", "0xfffffffffffffff8"],
		["complete((void *)0x1234);", "0x0000000000001234"],
		["kobject_put((void *)0x1234);", "0x0000000000001234"],
		["kobject_create_and_add((char *)0x1234, kernel_kobj);", "0x0000000000001234"],
		['kobject_create_and_add("k", (void *)0x5678);', "0x0000000000005678"],
		["sysfs_create_file((void *)0x1234, (void *)buf);", "0x0000000000001234"],
		['seq_printf((void *)0x1234, "x");', "0x0000000000001234"],
		['seq_puts((void *)-8L, "x");', "0xfffffffffffffff8"],
		["klp_enable_patch((void *)0x1234);", "0x0000000000001234"],
		[
			"static long p[64]; int i; for (i = 0; i < 64; i++) p[i] = -8L; klp_enable_patch((void *)p);",
			"0x0000000000000000",
		],
		["schedule_work((void *)0x1234);", "0x0000000000001234"],
		["kfree((void *)0x1234);", "0x0000000000001234"],
		['sprintf((char *)0, "x");', "0x0000000000000000"],
		['printk("%s\\n", (char *)0xffffffff99999000);', "0xffffffff99999000"],
		["strlen((char *)0x1234);", "0x0000000000001234"],
	])("%s faults at its address", async (body, address) => {
		expect(await run(body)).toContain(`BUG: unable to handle page fault for address: ${address} at `);
	});

	test("text cannot be written by sprintf(): the task dies, and the function is unchanged", async () => {
		const died = await run('sprintf((char *)leaf, "\\x0f\\x0b"); return leaf(1);');
		const { address } = machine.it.modules.get("m")!.image.symbol("leaf")!;
		expect(died).toContain(BigInt.asUintN(64, BigInt(address)).toString(16));
		expect(machine.call(machine.task("u", "leaf"), "leaf")).toBeGreaterThan(0);
		expect(machine.it.dmesg.lines().join("\n")).toContain("RIP: 0010:sprintf");
	});

	test("a pointer that is not canonical is a general protection fault", async () => {
		expect(await run("mutex_lock((void *)0x8000000000000000UL);")).toContain("Oops: general protection fault: 0000");
	});

	test("a second kfree() is told, in the words of slab_debug, and the task lives", async () => {
		expect(
			await run(
				"static bool done; void *p; if (done) return 0; done = 1; p = kmalloc(64, GFP_KERNEL); kfree(p); kfree(p);",
			),
		).toBe(undefined);
		expect(machine.it.dmesg.warnings).toEqual(["BUG kmalloc-64 (Not tainted): Object already free"]);
	});

	test("kfree() of an address that is no object; of NULL and kmalloc(0), which is allowed", async () => {
		expect(await run("kfree(NULL); kfree(kmalloc(0, GFP_KERNEL)); kfree(buf);")).toBe(undefined);
		expect(new Set(machine.it.dmesg.warnings)).toEqual(new Set(["free_large_kmalloc: order == 0"]));
	});

	test("a width of two billion is bounded, as is a message", async () => {
		const once = "static int calls; if (calls++) return 0;";
		const wide = 'printk("%2000000000d\\n", 1); printk("%*d%99999999999999999999d\\n", 0x7fffffff, 1, 2);';
		expect(await run(once + wide)).toBe(undefined);
		expect(Math.max(...machine.it.dmesg.lines().map((line) => line.length))).toBe(1023);
	});

	test("a task that dies with preemption disabled leaves its CPU preemptible, as make_task_dead() does", () => {
		const task = machine.task("holder", "funcA");
		task.preempt_count = 2;
		machine.it.oops.die(task, { kind: "general-protection" }, 0n);
		expect(task.preempt_count).toBe(0);
	});

	test("bad text for printk() is what the kernel prints for it", async () => {
		await run('printk("<%s|%s|%s>\\n", (char *)0, (char *)1, (char *)-1L);');
		expect(machine.dmesg("<")[0]).toBe("<(null)|(efault)|(efault)>");
	});

	test("a kobject that is its own parent is an error, not a stack without end", async () => {
		const body =
			'struct kobject *k = kobject_create_and_add("k", kernel_kobj); k->parent = k; kobject_create_and_add("l", k);';
		await expect(run(body)).rejects.toMatchObject({
			code: "GUEST_ENDLESS",
			reason: expect.stringContaining("'k' is its own parent"),
		});
	});

	test("kobject_put() of a kobject that is gone is the kernel's WARN, told once and counted", async () => {
		const puts =
			'struct kobject *k = kobject_create_and_add("k", kernel_kobj); kobject_put(k); kobject_put(k); kobject_put(k);';
		expect(await run(`static int n; if (!n++) { ${puts} }`)).toBe(undefined);
		const text = "refcount_t: underflow; use-after-free.";
		expect(machine.dmesg("refcount")).toEqual([text, `WARNING: refcount_warn_saturate: ${text}`]);
		expect(machine.it.dmesg.warnings).toHaveLength(2);
	});

	test.each([
		["is there until its last child is gone", "", ["/sys/kernel/k", "/sys/kernel/k/l"]],
		["goes with its last child", "kobject_put(l);", []],
	])("a kobject without a holder %s", async (_, then, paths) => {
		const made = 'struct kobject *k = kobject_create_and_add("k", kernel_kobj), *l = kobject_create_and_add("l", k);';
		expect(await run(`static int n; if (!n++) { ${made} kobject_put(k); ${then} }`)).toBe(undefined);
		expect(machine.it.files.paths().filter((path) => path.startsWith("/sys/kernel/k"))).toEqual(paths);
		expect(machine.it.dmesg.warnings).toEqual([]);
	});

	test("WARN_ON() is told with its place and counted, and the task goes on; WARN_ON_ONCE() is told once", async () => {
		expect(await run("static long n; if (n < 3) { n++; if (WARN_ON(n == 1)) x++; WARN_ON_ONCE(n >= 2); }")).toBe(
			undefined,
		);
		expect(machine.it.dmesg.warnings).toEqual([
			expect.stringMatching(/^CPU: 0 PID: \d+ at m\.c:\d+ tried\+0x[\da-f]+\/0x[\da-f]+ \[m\]$/),
			expect.stringMatching(/^CPU: 0 PID: \d+ at m\.c:\d+ tried\+0x[\da-f]+\/0x[\da-f]+ \[m\]$/),
		]);
	});

	test("BUG() ends the task with file and line; a jump to NULL is a fault at 0", async () => {
		expect(await run("BUG_ON(x > 0);")).toMatch(/^kernel BUG at m\.c:\d+! at tried/);
	});

	test("a call of NULL is a fault at 0", async () => {
		expect(await run("((long (*volatile)(void))0)();")).toContain("address: 0x0000000000000000");
	});
});
