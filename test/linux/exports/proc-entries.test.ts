/** Files of modules in /proc: proc_create_single() and what goes with it. */
import { afterEach, describe, expect, test } from "vitest";
import { EACCES, ENOENT, runStraight } from "../../../src/linux/lib/index.js";
import { compileModule, createTestMachine, type TestMachine } from "../../support/machine.js";

const SOURCE = `
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
static int number = 7;
static struct proc_dir_entry *single, *folder, *inner;
static int show(struct seq_file *m, void *v)
{
	seq_printf(m, "%s: %d\\n", THIS_MODULE->name, m->private ? *(int *)m->private : 0);
	return 0;
}
static int fails(struct seq_file *m, void *v) { return -EBUSY; }
static int m_init(void)
{
	single = proc_create_single("mine", 0, NULL, show);
	folder = proc_mkdir("folder", NULL);
	inner = proc_create_single_data("inner", 0400, folder, show, &number);
	proc_create_single("folder/busy", 0644, NULL, fails);
	return single && folder && inner ? 0 : -ENOMEM;
}
static void m_exit(void) { proc_remove(single); proc_remove(folder); proc_remove(NULL); }
module_init(m_init);
module_exit(m_exit);
MODULE_LICENSE("GPL");
long again(void) { return proc_create_single("mine", 0, NULL, show) == NULL; }
long nowhere(void) { return proc_create_single("absent/mine", 0, NULL, show) == NULL; }
long below_file(void) { return proc_create_single("mine/x", 0, NULL, show) == NULL; }
long nameless(void) { return proc_create_single("", 0, NULL, show) == NULL; }
long by_name(void) { remove_proc_entry("inner", folder); remove_proc_entry("folder/busy", NULL); return 0; }
long not_there(void) { remove_proc_entry("none", NULL); return 0; }
long null_show(void) { return proc_create_single("null", 0, NULL, NULL) != NULL; }
`;

let machine: TestMachine;
const call = (func: string) => runStraight(machine.it.calls.call(machine.addr(func)));
afterEach(() => machine.close());

async function load(cpu: string): Promise<TestMachine["it"]> {
	machine = await createTestMachine({ cpu, kernel: true });
	expect(machine.insmodC("m", await compileModule("m", SOURCE))).toBe(0);
	return machine.it;
}

describe.each(["jit", "unicorn"])("on %s", (cpu) => {
	test("are read and listed while they are there", async () => {
		const { shell, files, heap } = await load(cpu);
		expect(shell.read("/proc/mine")).toBe("m: 0\n");
		expect(shell.read("/proc/folder/inner")).toBe("m: 7\n");
		expect(shell.read("/proc/folder/busy")).toBe(-16);
		expect(files.paths()).toEqual(expect.arrayContaining(["/proc/mine", "/proc/folder", "/proc/folder/inner"]));
		expect(["mine", "folder", "folder/inner", "folder/busy"].map((path) => files.rights(`/proc/${path}`))).toEqual([
			"-r--r--r--",
			"dr-xr-xr-x",
			"-r--------",
			"-rw-r--r--",
		]);
		expect(shell.write("/proc/mine", "1")).toBe(-EACCES);
		expect(shell.write("/proc/folder/busy", "1")).toBe(-EACCES);
		expect(shell.read("/proc/folder")).toBe(-EACCES);
		call("by_name");
		expect(shell.read("/proc/folder/inner")).toBe(-ENOENT);
		expect(files.paths().filter((path) => path.startsWith("/proc/folder"))).toEqual(["/proc/folder"]);
		expect(shell.rmmod("m")).toBe(0);
		expect(shell.read("/proc/mine")).toBe(-ENOENT);
		expect(heap.count).toBe(0);
	});
});

test.each([
	["again", "proc_register() proc_dir_entry '/proc/mine' already registered"],
	["nowhere", "__xlate_proc_name() name 'absent/mine'"],
	["below_file", "__xlate_proc_name() name 'mine/x'"],
	["nameless", "__proc_create() name len 0"],
	["not_there", "remove_proc_entry() name 'none'"],
])("what the kernel warns of: %s", async (func, warning) => {
	await load("jit");
	call(func);
	expect(machine.dmesg("WARNING").at(-1)).toContain(warning);
});

test("whoever reads a file without a show() dies of it, as in the kernel", async () => {
	const { shell } = await load("jit");
	call("null_show");
	expect(() => shell.read("/proc/null")).toThrow();
	expect(machine.dmesg("BUG")).toEqual(["BUG: unable to handle page fault for address: 0x0000000000000000"]);
});
