/** Kprobes and kretprobes of modules that are compiled with the kernel's own headers. */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { CPUS_AND_CORES, HeaderModules } from "../../support/header-modules.js";
import type { TestMachine } from "../../support/machine.js";

const PROBES = `#include <linux/kprobes.h>
#include <linux/module.h>
MODULE_LICENSE("GPL");

static int pre(struct kprobe *p, struct pt_regs *regs)
{
	pr_info("pre %s %ld %pS\\n", p->symbol_name, (long)regs->di, (void *)regs->ip);
	return 0;
}
static void post(struct kprobe *p, struct pt_regs *regs, unsigned long flags) { pr_info("post %pS\\n", (void *)regs->ip); }
static int entry(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	*(long *)ri->data = regs->di;
	return 0;
}
static int returns(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	pr_info("%s(%ld) = %ld\\n", get_kretprobe(ri)->kp.symbol_name, *(long *)ri->data, (long)regs_return_value(regs));
	return 0;
}
static struct kprobe kp = { .symbol_name = "funcA", .pre_handler = pre, .post_handler = post };
static struct kretprobe rp = { .kp.symbol_name = "funcB", .handler = returns, .entry_handler = entry, .data_size = 8 };
static int __init probes_init(void) { return register_kprobe(&kp) ?: register_kretprobe(&rp); }
static void __exit probes_exit(void)
{
	unregister_kprobe(&kp);
	unregister_kretprobe(&rp);
	pr_info("missed %lu %d\\n", kp.nmissed, rp.nmissed);
}
module_init(probes_init);
module_exit(probes_exit);
`;

const modules = new HeaderModules();
beforeAll(() => modules.build({ probes: PROBES }));

describe.each(CPUS_AND_CORES)("on %s, %s core", (cpu, core) => {
	let machine: TestMachine;
	beforeEach(async ({ skip }) => {
		machine = await modules.machine([cpu, core], skip);
	});
	afterEach(() => machine?.close());

	test("entry, the place behind the call, and return; a livepatch of the probed function is -EBUSY", () => {
		expect(machine.insmodC("probes", modules.get("probes"))).toBe(0);
		const task = machine.task("worker", "untraced");
		const call = (func: string) => machine.it.tasks.callOnce(task, machine.addr(func), 1000, [5n]);
		call("funcA");
		const result = BigInt.asIntN(64, call("funcB")!);
		const lines = () => machine.dmesg().filter((line) => /^(?:pre|post|funcB|missed)/.test(line));
		expect(lines()).toEqual([
			expect.stringMatching(/^pre funcA 5 funcA\+0x\w+\//),
			expect.stringMatching(/^post funcA\+0x\w+\//),
			`funcB(5) = ${result}`,
		]);
		expect(machine.patch("lp1", ["funcA", "lp1_funcA"])).toBe(-16);
		expect(machine.it.shell.rmmod("probes")).toBe(0);
		expect(lines().at(-1)).toBe("missed 0 0");
		expect(machine.it.dmesg.warnings).toEqual([]);
	});
});
