/** A file in /proc of a module that was compiled with the kernel's own headers, and a livepatch of it: as upstream's test_klp_mod_target. */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { CPUS_AND_CORES, HeaderModules } from "../../support/header-modules.js";
import type { TestMachine } from "../../support/machine.js";

const TARGET = `
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
MODULE_LICENSE("GPL");
static struct proc_dir_entry *pde, *folder;
static int number = 5;
static noinline int target_show(struct seq_file *m, void *v)
{
	seq_printf(m, "%s: original\\n", THIS_MODULE->name);
	return 0;
}
static int number_show(struct seq_file *m, void *v) { seq_printf(m, "%d\\n", *(int *)m->private); return 0; }
static int __init target_init(void)
{
	pde = proc_create_single("target", 0, NULL, target_show);
	folder = proc_mkdir("folder", NULL);
	return pde && folder && proc_create_single_data("number", 0, folder, number_show, &number) ? 0 : -ENOMEM;
}
static void __exit target_exit(void)
{
	remove_proc_entry("number", folder);
	proc_remove(folder);
	proc_remove(pde);
}
module_init(target_init);
module_exit(target_exit);
`;

const PATCH = `
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/seq_file.h>
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
static int patched_show(struct seq_file *m, void *v) { seq_puts(m, "patched\\n"); return 0; }
static struct klp_func funcs[] = { { .old_name = "target_show", .new_func = patched_show }, { } };
static struct klp_object objs[] = { { .name = "target", .funcs = funcs }, { } };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs };
static int __init patch_init(void) { return klp_enable_patch(&patch); }
static void __exit patch_exit(void) { }
module_init(patch_init);
module_exit(patch_exit);
`;

const modules = new HeaderModules();
beforeAll(() => modules.build({ target: TARGET, patch: PATCH }));

describe.each(CPUS_AND_CORES)("on %s, %s core", (cpu, core) => {
	let machine: TestMachine;
	beforeEach(async ({ skip }) => {
		machine = await modules.machine([cpu, core], skip);
	});
	afterEach(() => machine?.close());

	test("the file says which function a reader runs", () => {
		const { shell, klp } = machine.it;
		expect(machine.insmodC("target", modules.get("target"))).toBe(0);
		expect([shell.read("/proc/target"), shell.read("/proc/folder/number")]).toEqual(["target: original\n", "5\n"]);
		expect(machine.insmodC("patch", modules.get("patch"))).toBe(0);
		machine.until(() => klp.inTransition === undefined);
		expect(shell.read("/proc/target")).toBe("patched\n");
		expect(shell.write("/sys/kernel/livepatch/patch/enabled", "0")).toBe(0);
		machine.until(() => klp.inTransition === undefined);
		expect(shell.read("/proc/target")).toBe("target: original\n");
		expect([shell.rmmod("patch"), shell.rmmod("target")]).toEqual([0, 0]);
		expect(shell.read("/proc/target")).toBe(-2);
		expect(machine.it.dmesg.warnings).toEqual([]);
	});
});
