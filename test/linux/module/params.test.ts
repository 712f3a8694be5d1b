/** Module parameters of every type, read and written through /sys/module. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { compileModule, createTestMachine, type TestMachine } from "../../support/machine.js";

const EPERM = -1;
const EINVAL = -22;
const ENOSPC = -28;
const EROFS = -30;
const ERANGE = -34;
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
static char line[8]; module_param_string(line, line, sizeof(line), 0644);
static bool inverted, once; static int bint, risky;
module_param(inverted, invbool, 0644);
module_param(once, bool_enable_only, 0644);
module_param(bint, bint, 0644);
module_param_unsafe(risky, int, 0644);
static char *text[3]; static unsigned int texts;
module_param_array_named(words, text, charp, &texts, 0644);
static unsigned int percent;
static int percent_set(const char *val, const struct kernel_param *kp) { return param_set_uint_minmax(val, kp, 1, 100); }
static const struct kernel_param_ops percent_ops = { .set = percent_set, .get = param_get_uint };
module_param_cb(percent, &percent_ops, &percent, 0644);
static const struct kernel_param_ops no_ops = { };
module_param_cb(mute, &no_ops, NULL, 0644);
static int hidden;
module_param(hidden, int, 0);
static int my_set(const char *val, const struct kernel_param *kp) { *(int *)kp->arg = 10 * (val[0] - '0'); return val[0] == 'x' ? -EBUSY : 0; }
static int my_get(char *buffer, const struct kernel_param *kp) { return sprintf(buffer, "<%d>\\n", *(int *)kp->arg); }
static const struct kernel_param_ops my_ops = { .set = my_set, .get = my_get };
static int own;
module_param_cb(own, &my_ops, &own, 0644);
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

	// What is not a number of its type is -EINVAL, one that is too large -ERANGE. An array has cut the text at its commas.
	test.each([
		["flag", "maybe", EINVAL],
		["number", "2147483648", ERANGE],
		["number", "-2147483649", ERANGE],
		["number", "12x", EINVAL],
		["number", "", EINVAL],
		["count", "-1", EINVAL],
		["count", "4294967296", ERANGE],
		["mask", "0x10000000000000000", ERANGE],
		["list", "1,2,3,4", EINVAL, "1"],
		["tiny", "256", ERANGE],
		["small", "32768", ERANGE],
		["port", "-1", EINVAL],
		["hex", "4294967296", ERANGE],
		["list", "1,two", EINVAL, "1"],
		["list", "1,,2", EINVAL, "1"],
		["inverted", "2", EINVAL],
		["percent", "101", EINVAL],
		["percent", "4294967296", ERANGE],
	])("%s=%s is %i, and the module is not there", async (name, value, errno, left = value) => {
		expect(await insmod({ [name]: value })).toBe(errno);
		expect(machine.dmesg()).toContain(`m: \`${left}' invalid for parameter \`${name}'`);
		expect(machine.it.modules.size).toBe(0);
		expect(machine.it.heap.count).toBe(0);
	});

	test.each([
		["line", "12345678", "line: string doesn't fit in 7 chars."],
		["name", "x".repeat(1025), "name: string parameter too long"],
	])("a text that is too long for %s is -ENOSPC", async (name, value, said) => {
		expect(await insmod({ [name]: value })).toBe(ENOSPC);
		const dmesg = machine.dmesg();
		expect(dmesg).toContain(said);
		expect(dmesg).toContain(`m: \`${value}' too large for parameter \`${name}'`);
	});
});

test("an array says how many values it takes, and keeps those before the one that is wrong", async () => {
	expect(await insmod({ list: "7,8" })).toBe(0);
	expect(echo("list", "1,2,3,4\n")).toBe(EINVAL);
	expect(machine.dmesg()).toContain("list: can only take 3 arguments");
	expect(cat("list")).toBe("1,2,3\n");
	expect(echo("list", "4,x\n")).toBe(EINVAL);
	expect(cat("list")).toBe("4\n");
});

test("an array of texts owns each of them", async () => {
	expect(await insmod({ words: "one,two" })).toBe(0);
	expect(cat("words")).toBe("one,two\n");
	expect(echo("words", "three,four,five")).toBe(0);
	expect(cat("words")).toBe("three,four,five\n");
	expect(machine.it.shell.rmmod("m")).toBe(0);
	expect(machine.it.heap.count).toBe(0);
});

test("each wrong parameter is told; the last one decides the errno", async () => {
	expect(await insmod({ tiny: "300", number: "x" })).toBe(EINVAL);
	const dmesg = machine.dmesg();
	expect(dmesg).toContain("m: `300' invalid for parameter `tiny'");
	expect(dmesg).toContain("m: `x' invalid for parameter `number'");
});

test("a text may be empty, and keeps the newline that echo writes", async () => {
	expect(await insmod({ name: "" })).toBe(0);
	expect(cat("name")).toBe("\n");
	expect(echo("name", "text\n")).toBe(0);
	expect(cat("name")).toBe("text\n\n");
});

test("a bool that can only be set, an inverted one, and one that is an int", async () => {
	expect(await insmod({ once: "1", inverted: "1", bint: "" })).toBe(0);
	expect(echo("once", "0")).toBe(EROFS);
	expect(cat("once")).toBe("Y\n");
	expect(cat("inverted")).toBe("Y\n");
	expect(cat("bint")).toBe("1\n");
});

test("an unsafe parameter says so when it is set", async () => {
	expect(await insmod({ risky: "1" })).toBe(0);
	expect(machine.dmesg()).toContain("Setting dangerous option risky - tainting kernel");
});

test("a parameter without get() or set() is -EPERM in sysfs", async () => {
	expect(await insmod()).toBe(0);
	expect(cat("mute")).toBe(EPERM);
	expect(echo("mute", "1")).toBe(EPERM);
});

test("a variable of another type than its parameter does not compile", async () => {
	const wrong = "#include <linux/module.h>\nstatic int flag; module_param(flag, bool, 0644);";
	await expect(compileModule("wrong", wrong)).rejects.toThrow("incompatible-pointer-types");
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
