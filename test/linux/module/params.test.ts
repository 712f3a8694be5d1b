/** Module parameters of every type, read and written through /sys/module. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { compileModule, createTestMachine, type TestMachine } from "../../support/machine.js";

const EINVAL = -22;
const EACCES = -13;
const ENOENT = -2;
const C = `
#include <linux/module.h>
static bool flag; static int number; static unsigned int count; static long big; static unsigned long mask; static char *name;
static int list[3]; static unsigned int length;
module_param(flag, bool, 0644);
module_param(number, int, 0644);
module_param(count, uint, 0444);
module_param(big, long, 0600);
module_param(mask, ulong, 0644);
module_param(name, charp, 0644);
module_param_array(list, int, &length, 0644);
static unsigned char tiny; static short small; static unsigned short port; static unsigned long long wide; static unsigned int hex;
module_param(tiny, byte, 0644);
module_param(small, short, 0644);
module_param(port, ushort, 0644);
module_param(wide, ullong, 0644);
module_param(hex, hexint, 0644);
static int hidden;
module_param(hidden, int, 0);
static int my_set(const char *val, const struct kernel_param *kp) { *(int *)kp->arg = 10 * (val[0] - '0'); return val[0] == 'x' ? -EBUSY : 0; }
static int my_get(char *buffer, const struct kernel_param *kp) { return sprintf(buffer, "<%d>\\n", *(int *)kp->arg); }
static const struct kernel_param_ops my_ops = { .set = my_set, .get = my_get };
static int own;
__module_param(own, my_ops, 0644, .arg = &own);
static int m_init(void) { return 0; }
static void m_exit(void) { }
module_init(m_init);
module_exit(m_exit);
`;

let machine: TestMachine;
beforeEach(async () => {
	machine = await createTestMachine({ kernel: true });
});
afterEach(() => machine.close());

const insmod = async (params: Record<string, string> = {}) => machine.insmodC("m", await compileModule("m", C), params);
const path = (name: string) => `/sys/module/m/parameters/${name}`;
const cat = (name: string) => machine.it.shell.read(path(name));
const echo = (name: string, value: string) => machine.it.shell.write(path(name), value);

describe("each type", () => {
	test.each([
		["flag", "1", "Y\n"],
		["flag", "off", "N\n"],
		["number", "-2147483648", "-2147483648\n"],
		["number", "0x7fffffff", "2147483647\n"],
		["number", "017", "15\n"],
		["count", "4294967295", "4294967295\n"],
		["big", "-9223372036854775808", "-9223372036854775808\n"],
		["mask", "0xffffffffffffffff", "18446744073709551615\n"],
		["name", "any text", "any text\n"],
		["list", "3", "3\n"],
		["list", "1,-2,3", "1,-2,3\n"],
		["own", "7", "<70>\n"],
		["tiny", "255", "255\n"],
		["small", "-32768", "-32768\n"],
		["port", "65535", "65535\n"],
		["wide", "18446744073709551615", "18446744073709551615\n"],
		["hex", "255", "0x0000ff\n"],
		["hex", "0xfedcba98", "0xfedcba98\n"],
		["hex", "0", "00000000\n"],
	])("%s=%s", async (name, value, shown) => {
		expect(await insmod({ [name]: value })).toBe(0);
		expect(cat(name)).toBe(shown);
	});

	test.each([
		["flag", "maybe"],
		["number", "2147483648"],
		["number", "-2147483649"],
		["number", "12x"],
		["number", ""],
		["count", "-1"],
		["count", "4294967296"],
		["mask", "0x10000000000000000"],
		["list", "1,2,3,4"],
		["tiny", "256"],
		["small", "32768"],
		["port", "-1"],
		["hex", "4294967296"],
		["list", "1,two"],
	])("%s=%s is -EINVAL, and the module is not there", async (name, value) => {
		expect(await insmod({ [name]: value })).toBe(EINVAL);
		expect(machine.dmesg()).toContain(`m: \`${value}' invalid for parameter \`${name}'`);
		expect(machine.it.modules.size).toBe(0);
		expect(machine.it.heap.count).toBe(0);
	});
});

test("without a value a bool is set, and nothing else takes that", async () => {
	expect(await insmod({ flag: "" })).toBe(0);
	expect(cat("flag")).toBe("Y\n");
});

test("written in sysfs: the value changes, a wrong one does not change it", async () => {
	expect(await insmod({ number: "5" })).toBe(0);
	expect(echo("number", "6\n")).toBe(0);
	expect(cat("number")).toBe("6\n");
	expect(echo("number", "six")).toBe(EINVAL);
	expect(cat("number")).toBe("6\n");
	expect(echo("own", "x")).toBe(-16);
});

test("the file's mode is the parameter's: read-only ones refuse, hidden ones are not there", async () => {
	expect(await insmod({ hidden: "1" })).toBe(0);
	expect(machine.it.files.rights(path("number"))).toBe("-rw-r--r--");
	expect(machine.it.files.rights(path("count"))).toBe("-r--r--r--");
	expect(echo("count", "1")).toBe(EACCES);
	expect(machine.it.files.rights(path("hidden"))).toBeUndefined();
	expect(cat("hidden")).toBe(ENOENT);
});

test("a text is the parameter's own copy, freed when another takes its place and when the module goes", async () => {
	expect(await insmod({ name: "first" })).toBe(0);
	const before = machine.it.heap.count;
	expect(echo("name", "second")).toBe(0);
	expect(cat("name")).toBe("second\n");
	expect(machine.it.heap.count).toBe(before);
	expect(machine.it.shell.rmmod("m")).toBe(0);
	expect(machine.it.heap.count).toBe(0);
});

test("a dash is an underscore; an unknown parameter is ignored with a warning", async () => {
	expect(await insmod({ "num-ber": "1" })).toBe(0);
	expect(machine.dmesg()).toContain("m: unknown parameter 'num-ber' ignored");
});
