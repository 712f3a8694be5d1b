/** Which symbols of other modules a .ko may use: licences, name spaces, taint (resolve_symbol, kernel/module/main.c). */
import { afterEach, beforeEach, expect, test } from "vitest";
import { KO_LAYOUT, type KoOptions, makeKo } from "../../support/ko.js";
import { createTestMachine, type TestMachine } from "../../support/machine.js";

const [ENOENT, ENOEXEC, EINVAL] = [-2, -8, -22];

let machine: TestMachine;
beforeEach(async () => {
	machine = await createTestMachine({ kernel: true, kernelLayout: KO_LAYOUT });
});
afterEach(() => machine.close());

/** As __KSYMTAB() of the kernel's headers makes it. */
const exported = (name: string, gpl: boolean, namespace = "") => `
noinline long ${name}(long x) { return x + 1; }
__asm__(".section \\"__ksymtab_strings\\",\\"aMS\\",@progbits,1\\n__kstrtab_${name}: .asciz \\"${name}\\"\\n"
	"__kstrtabns_${name}: .asciz \\"${namespace}\\"\\n.previous\\n"
	".section \\"__ksymtab${gpl ? "_gpl" : ""}\\",\\"a\\"\\n.balign 4\\n"
	".long ${name} - .\\n.long __kstrtab_${name} - .\\n.long __kstrtabns_${name} - .\\n.previous\\n");`;
const FRAME = `
static int lp_init(void) { return 0; }
static void lp_exit(void) { }
`;
const load = async (name: string, body: string, options: KoOptions = {}) =>
	machine.insmodC(name, await makeKo(name, body + FRAME, { livepatch: false, ...options }));
const uses = (...names: readonly string[]) =>
	names.map((name) => `long ${name}(long x); noinline long use_${name}(long x) { return ${name}(x); }`).join("\n");
const said = (name: string) => machine.dmesg(`${name}: `).filter((line) => !line.includes("taints kernel"));
const PROPRIETARY: KoOptions = { license: "Proprietary" };

test("a proprietary module does not find what another module exports to GPL modules only", async () => {
	expect(await load("owner", exported("plain", false) + exported("gpl", true))).toBe(0);
	expect(await load("user", uses("plain"), PROPRIETARY)).toBe(0);
	expect(await load("thief", uses("plain", "gpl"), PROPRIETARY)).toBe(ENOENT);
	expect(said("thief")).toEqual(["thief: Unknown symbol gpl (err -2)"]);
	expect(await load("fair", uses("plain", "gpl"))).toBe(0);
	expect(machine.it.shell.read("/proc/modules")).toMatch(/^owner \d+ 2 fair,user, Live/m);
});

test("two modules cannot export the same name", async () => {
	expect(await load("owner", exported("plain", false))).toBe(0);
	expect(await load("second", exported("plain", true))).toBe(ENOEXEC);
	expect(said("second")).toEqual(["second: exports duplicate symbol plain (owned by owner)"]);
	expect(machine.it.shell.rmmod("owner")).toBe(0);
	expect(await load("second", exported("plain", true))).toBe(0);
});

test("a symbol of a name space is for modules that import it", async () => {
	expect(await load("owner", exported("spaced", true, "SPACE"))).toBe(0);
	expect(await load("user", uses("spaced"))).toBe(EINVAL);
	expect(said("user")).toEqual([
		"user: module uses symbol (spaced) from namespace SPACE, but does not import it.",
		"user: Unknown symbol spaced (err -22)",
	]);
	const weak = uses("spaced").replace("long spaced", "__attribute__((weak)) long spaced");
	expect(await load("weak", weak)).toBe(EINVAL);
	expect(machine.it.modules.size).toBe(1);
	const other = 'INFO("import_ns=OTHER"); INFO("import_ns=SPACE");';
	expect(await load("good", `${other}${uses("spaced")}`)).toBe(0);
});

test("a module that uses symbols of a proprietary one becomes proprietary", async () => {
	expect(await load("gpl", exported("gpl", true))).toBe(0);
	expect(await load("owner", exported("plain", false), PROPRIETARY)).toBe(0);
	expect(await load("heir", uses("plain"))).toBe(0);
	expect(said("heir")).toEqual(["heir: module uses symbols plain from proprietary module owner, inheriting taint."]);
	expect(machine.it.shell.read("/proc/modules")).toMatch(/^heir .* \(PO\)$/m);
	expect(await load("late", uses("plain", "gpl"))).toBe(ENOENT);
	expect(await load("early", uses("gpl", "plain"))).toBe(ENOENT);
	expect(said("early")).toEqual([
		"early: module using GPL-only symbols uses symbols plain from proprietary module owner.",
		"early: Unknown symbol plain (err -2)",
	]);
});
