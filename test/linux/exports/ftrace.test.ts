/** A module in C registers its own ftrace_ops. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CPU_NAMES } from "../../../src/node/index.js";
import { compileModule, createTestMachine, type TestMachine } from "../../support/machine.js";

const module = (filter: string) => `
#include <linux/ftrace.h>
#include <linux/module.h>
extern long funcA(long x);
static long seen;
module_param(seen, long, 0444);
static notrace void call_back(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *op, struct ftrace_regs *fregs)
{
	seen += op->private == &seen;
}
static struct ftrace_ops ops = { .func = call_back, .private = &seen };
static int m_init(void)
{
	int ret = ${filter};
	return ret ? ret : register_ftrace_function(&ops);
}
static void m_exit(void) { unregister_ftrace_function(&ops); }
module_init(m_init);
module_exit(m_exit);
MODULE_LICENSE("GPL");
`;

describe.each(CPU_NAMES)("on %s", (cpu) => {
	let machine: TestMachine;
	beforeEach(async () => {
		machine = await createTestMachine({ cpu, kernel: true });
	});
	afterEach(() => machine.close());

	test.each([
		"ftrace_set_filter_ip(&ops, (unsigned long)funcA, 0, 0)",
		'ftrace_set_filter(&ops, (unsigned char *)"func*A", 6, 1)',
	])("%s: the call-back is called, and its trampoline goes with the module", async (filter) => {
		const task = machine.task("t", "funcA", "funcB");
		const text = machine.text();
		expect(machine.insmodC("m", await compileModule("m", module(filter)))).toBe(0);
		for (let i = 0; i < 3; i++) machine.call(task, "funcA");
		const seen = machine.it.modules.get("m")!.image.symbol("seen")!.address;
		expect(machine.it.memory.u64(seen)).toBeGreaterThanOrEqual(3n);
		expect(machine.it.shell.rmmod("m")).toBe(0);
		expect(machine.text()).toEqual(text);
		expect(machine.it.dmesg.warnings).toEqual([]);
	});

	test("a filter that matches nothing is -EINVAL; registering twice is -EBUSY with a WARN", async () => {
		const none = module('ftrace_set_filter(&ops, (unsigned char *)"nothing", 7, 1)');
		expect(machine.insmodC("m", await compileModule("m", none))).toBe(-22);
		const twice = module("register_ftrace_function(&ops)");
		expect(machine.insmodC("n", await compileModule("n", twice))).toBe(-16);
		expect(machine.it.dmesg.warnings).toEqual(["__register_ftrace_function: ops is enabled"]);
	});
});
