/** The tree of files: what is there, who may do what with it, and what it holds. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { compileModule, createTestMachine, type TestMachine } from "../../support/machine.js";

const [ENOENT, EACCES, EBUSY, EINVAL] = [-2, -13, -16, -22];

let machine: TestMachine;
beforeEach(async () => {
	machine = await createTestMachine({ kernel: true, cpus: 2 });
});
afterEach(() => machine.close());

describe("/sys/kernel/livepatch", () => {
	test("the whole tree of a patch, with the kernel's rights", () => {
		machine.patch("lp2", ["funcA", "lp2_funcA"], ["funcB", "lp2_funcB"]);
		machine.settle();
		const below = "/sys/kernel/livepatch/";
		const tree = machine.it.files.paths().filter((path) => path.startsWith(below));
		expect(Object.fromEntries(tree.map((path) => [path.slice(below.length), machine.it.files.rights(path)]))).toEqual({
			lp2: "drwxr-xr-x",
			"lp2/enabled": "-rw-r--r--",
			"lp2/transition": "-r--r--r--",
			"lp2/force": "--w-------",
			"lp2/replace": "-r--r--r--",
			"lp2/stack_order": "-r--r--r--",
			"lp2/vmlinux": "drwxr-xr-x",
			"lp2/vmlinux/patched": "-r--r--r--",
			"lp2/vmlinux/funcA,1": "drwxr-xr-x",
			"lp2/vmlinux/funcB,1": "drwxr-xr-x",
		});
	});

	test("each file reads and writes as in the kernel", () => {
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		machine.settle();
		const file = (name: string) => `/sys/kernel/livepatch/lp1/${name}`;
		expect(machine.it.shell.read(file("enabled"))).toBe("1\n");
		expect(machine.it.shell.read(file("vmlinux/patched"))).toBe("1\n");
		expect(machine.it.shell.read(file("stack_order"))).toBe("1\n");
		expect(machine.it.shell.read(file("force"))).toBe(EACCES);
		expect(machine.it.shell.read(file("vmlinux"))).toBe(EACCES);
		expect(machine.it.shell.read(file("nothing"))).toBe(ENOENT);
		expect(machine.it.shell.write(file("transition"), "1")).toBe(EACCES);
		expect(machine.it.shell.write(file("enabled"), "perhaps")).toBe(EINVAL);
		expect(machine.it.shell.write(file("enabled"), "1\n")).toBe(EINVAL);
		expect(machine.it.shell.write(file("force"), "1")).toBe(EINVAL);
		expect(machine.it.shell.write(file("enabled"), "0\n")).toBe(0);
		machine.settle();
		expect(machine.it.shell.read(file("enabled"))).toBe(ENOENT);
	});
});

test("[rule 5.9] /proc/modules is what m_show() prints, newest first", async () => {
	machine.insmodC("base", await compileModule("base", "int shared(void) { return 1; }"));
	machine.insmodC("user", await compileModule("user", "int shared(void); int mine(void) { return shared(); }"));
	machine.patch("lp1", ["funcA", "lp1_funcA"]);
	machine.settle();
	const text = machine.it.shell.read("/proc/modules") as string;
	expect(text.replace(/0xffffffff[0-9a-f]{8}/g, "ADDRESS").replace(/ (4096|8192|12288) /g, " SIZE ")).toBe(
		"lp1 SIZE 1 - Live ADDRESS (K)\nuser SIZE 0 - Live ADDRESS\nbase SIZE 1 user, Live ADDRESS\n",
	);
	expect(machine.it.shell.write("/proc/modules", "1")).toBe(EACCES);
});

test("/proc/PID/patch_state, by pid and by name, during a transition", () => {
	const sleeper = machine.sleeper("sleeper", "funcA");
	expect(machine.it.shell.read(`/proc/${sleeper.pid}/patch_state`)).toBe("-1\n");
	machine.patch("lp1", ["funcA", "lp1_funcA"]);
	expect(machine.it.shell.read("/proc/sleeper/patch_state")).toBe("0\n");
	expect(machine.it.files.rights("/proc/sleeper/patch_state")).toBe("-r--------");
	expect(machine.it.shell.write("/proc/sleeper/patch_state", "1")).toBe(EACCES);
	machine.it.tasks.wake(sleeper);
	machine.settle();
	expect(machine.it.shell.read("/proc/sleeper/patch_state")).toBe("-1\n");
	machine.it.tasks.exit(sleeper);
	expect(machine.it.shell.read("/proc/sleeper/patch_state")).toBe(ENOENT);
});

test("/proc/NAME is what NAME_proc_show() writes, livepatched or not", async () => {
	expect(machine.it.shell.read("/proc/cmdline")).toBe("BOOT_IMAGE=/vmlinuz root=/dev/vda1 quiet\n");
	expect(machine.it.shell.read("/proc/meminfo")).toBe("MemTotal:          65536 kB\nMemFree:           32768 kB\n");
	expect(machine.it.shell.read("/proc/nothing")).toBe(ENOENT);
	expect(machine.it.files.rights("/proc/cmdline")).toBe("-r--r--r--");
});

test("/proc/sys/kernel/ftrace_enabled: -EBUSY while a livepatch is enabled", () => {
	const path = "/proc/sys/kernel/ftrace_enabled";
	expect(machine.it.shell.read(path)).toBe("1\n");
	expect(machine.it.shell.write(path, "0\n")).toBe(0);
	expect(machine.it.shell.read(path)).toBe("0\n");
	expect(machine.patch("lp1", ["funcA", "lp1_funcA"])).toBe(EBUSY);
	expect(machine.it.shell.write(path, "1")).toBe(0);
	expect(machine.patch("lp1", ["funcA", "lp1_funcA"])).toBe(0);
	expect(machine.it.shell.write(path, "0")).toBe(EBUSY);
	expect(machine.it.shell.write(path, "x")).toBe(EINVAL);
});

test("/sys/module: refcnt and initstate; /dev/kmsg is written to only; dynamic debug mutes one function", () => {
	machine.patch("lp1", ["funcA", "lp1_funcA"]);
	expect(machine.it.shell.read("/sys/module/lp1/refcnt")).toBe("1\n");
	expect(machine.it.shell.read("/sys/module/lp1/initstate")).toBe("live\n");
	expect(machine.it.files.rights("/sys/module/lp1")).toBe("drwxr-xr-x");
	expect(machine.it.shell.read("/sys/module/lp9/refcnt")).toBe(ENOENT);
	expect(machine.it.shell.write("/dev/kmsg", "one\ntwo\n")).toBe(0);
	expect(machine.it.dmesg.lines().slice(-2)).toEqual(["one", "two"]);
	expect(machine.it.shell.read("/dev/kmsg")).toBe(EACCES);
	machine.settle();
	const control = "/sys/kernel/debug/dynamic_debug/control";
	const before = machine.dmesg("klp_try_switch_task").length;
	expect(before).toBeGreaterThan(0);
	expect(machine.it.shell.write(control, "func klp_try_switch_task -p")).toBe(0);
	machine.echo("0", "lp1/enabled");
	machine.settle();
	expect(machine.dmesg("klp_try_switch_task")).toHaveLength(before);
	expect(machine.it.shell.write(control, "nonsense")).toBe(EINVAL);
});

test("a module's own directory below /sys/kernel: show() and store() are its code", async () => {
	const C = `
#include <linux/kobject.h>
#include <linux/module.h>
static int value = 3;
static ssize_t thing_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf) { return sprintf(buf, "%d\\n", value); }
static ssize_t thing_store(struct kobject *kobj, struct kobj_attribute *attr, const char *buf, size_t count)
{
	if (*buf < '0' || *buf > '9') return -EINVAL;
	value = *buf - '0';
	return count;
}
static struct kobj_attribute thing = __ATTR_RW(thing);
static struct kobject *kobj;
static int m_init(void)
{
	kobj = kobject_create_and_add("mine", kernel_kobj);
	return kobj ? sysfs_create_file(kobj, &thing.attr) : -ENOMEM;
}
static void m_exit(void) { kobject_put(kobj); }
module_init(m_init);
module_exit(m_exit);
`;
	expect(machine.insmodC("m", await compileModule("m", C))).toBe(0);
	expect(machine.it.shell.read("/sys/kernel/mine/thing")).toBe("3\n");
	expect(machine.it.shell.write("/sys/kernel/mine/thing", "8")).toBe(0);
	expect(machine.it.shell.read("/sys/kernel/mine/thing")).toBe("8\n");
	expect(machine.it.shell.write("/sys/kernel/mine/thing", "x")).toBe(EINVAL);
	expect(machine.it.files.rights("/sys/kernel/mine")).toBe("drwxr-xr-x");
	expect(machine.it.files.rights("/sys/kernel/mine/thing")).toBe("-rw-r--r--");
	expect(machine.it.shell.rmmod("m")).toBe(0);
	expect(machine.it.shell.read("/sys/kernel/mine/thing")).toBe(ENOENT);
	expect(machine.it.heap.count).toBe(0);
});

test("files of a module that cannot be made, read or written: the errnos are sysfs's", async () => {
	const C = `
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/printk.h>
static ssize_t busy_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf) { return -EBUSY; }
static struct kobj_attribute busy = { .attr = { .name = "busy", .mode = 0644 }, .show = busy_show };
static struct kobj_attribute mute = { .attr = { .name = "mute", .mode = 0644 } };
static struct kobject *kobj, *top, alone;
static int m_init(void)
{
	kobj = kobject_create_and_add("mine", kernel_kobj);
	top = kobject_create_and_add("top", NULL);
	pr_info("made: %d %d\\n", sysfs_create_file(kobj, &busy.attr), sysfs_create_file(kobj, &mute.attr));
	pr_info("again: %d, of none: %d %d\\n", sysfs_create_file(kobj, &busy.attr), sysfs_create_file(NULL, &busy.attr),
		sysfs_create_file(&alone, &busy.attr));
	kobject_put(NULL);
	return 0;
}
static void m_exit(void) { kobject_put(kobj); kobject_put(top); }
module_init(m_init);
module_exit(m_exit);
`;
	expect(machine.insmodC("m", await compileModule("m", C))).toBe(0);
	expect(machine.dmesg("made")).toEqual(["made: 0 0"]);
	expect(machine.dmesg("again")).toEqual(["again: -17, of none: -22 -22"]);
	const { shell, files } = machine.it;
	expect(shell.read("/sys/kernel/mine/busy")).toBe(-16);
	expect([shell.read("/sys/kernel/mine/mute"), shell.write("/sys/kernel/mine/mute", "1")]).toEqual([-5, -5]);
	expect(shell.write("/sys/kernel/mine/absent", "1")).toBe(ENOENT);
	expect(files.rights("/sys/top")).toBe("drwxr-xr-x");
	expect(shell.rmmod("m")).toBe(0);
	expect(machine.it.heap.count).toBe(0);
});
