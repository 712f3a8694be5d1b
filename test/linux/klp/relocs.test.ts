/** Livepatch relocations: symbols of another object, resolved when that object is there (Documentation/livepatch/module-elf-format.rst). */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ElfObject } from "../../../src/elf/index.js";
import { CPU_NAMES } from "../../../src/node/index.js";
import { kernelCore } from "../../support/kernel-core.js";
import { compileModule, createTestMachine, type TestMachine } from "../../support/machine.js";

const [ENOEXEC, ENODEV, EINVAL] = [-8, -19, -22];

const TARGET = `
static long secret = 40;
static __attribute__((__noinline__)) long helper(long x) { return secret + x; }
__attribute__((__noinline__)) long target_func(long x) { return helper(x); }
long set_secret(long x) { return secret = x; }
`;
/** Replaces target_func(); it calls and reads what only the target has, in text and as a pointer in data. */
const livepatch = (symbol: string, more = "") => `
#include <linux/livepatch.h>
extern long helper(long x) __asm__("\\"${symbol}\\"");
extern long secret __asm__("\\".klp.sym.target.secret,1\\"");
static long *where = &secret;
${more}
static int refuse;
module_param(refuse, int, 0644);
static long new_target_func(long x) { return 1000 + helper(x) + *where; }
static int pre_patch(struct klp_object *obj) { return refuse; }
static struct klp_func funcs[] = { { .old_name = "target_func", .new_func = new_target_func }, { } };
static struct klp_object objs[] = { { .name = "target", .funcs = funcs, .callbacks = { .pre_patch = pre_patch } }, { } };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs };
static int lp_init(void) { return klp_enable_patch(&patch); }
static void lp_exit(void) { }
module_init(lp_init);
module_exit(lp_exit);
MODULE_INFO(livepatch, "Y");
`;

const CORES = ["TypeScript", "compiled"] as const;
describe.each(CPU_NAMES.flatMap((cpu) => CORES.map((core) => [cpu, core] as const)))(
	"[rule 1.15] on %s, %s core",
	(cpu, which) => {
		let machine: TestMachine;
		let target: ElfObject;
		beforeEach(async ({ skip }) => {
			const core = which === "compiled" ? await kernelCore(skip) : undefined;
			machine = await createTestMachine({ cpu, kernel: true, ...(core && { core }) });
			target = await compileModule("target", TARGET);
		});
		afterEach(() => machine.close());

		const load = async (text: string) => machine.insmodC("lp", await compileModule("lp", text));
		const call = (func: string, expected: number) => {
			const task = machine.it.sched.find("t") ?? machine.task("t", "weigh");
			expect(machine.call(task, func)).toBe(expected + task.pid);
		};
		const pid = () => machine.it.sched.find("t")!.pid;

		test("the target is there: text and data reach its static symbols", async () => {
			machine.insmodC("target", target);
			call("target_func", 40);
			expect(await load(livepatch(".klp.sym.target.helper,1"))).toBe(0);
			machine.settle();
			call("target_func", 1080);
			expect(machine.call(machine.it.sched.find("t")!, "set_secret")).toBe(pid());
			call("target_func", 1000 + 2 * pid());
		});

		test("the target comes, goes and comes back elsewhere: relocated, cleared, relocated anew", async () => {
			expect(await load(livepatch(".klp.sym.target.helper,0"))).toBe(0);
			machine.settle();
			const before = machine.text();
			for (let round = 0; round < 3; round++) {
				expect(machine.insmodC("target", target)).toBe(0);
				call("target_func", 1080);
				machine.it.tasks.exit(machine.it.sched.find("t")!);
				expect(machine.it.shell.rmmod("target")).toBe(0);
				expect(machine.text()).toEqual(before);
			}
		});

		test("a static function of vmlinux: applied when the livepatch itself is loaded", async () => {
			const text = livepatch(
				".klp.sym.target.helper,1",
				'extern long twin(long x) __asm__("\\".klp.sym.vmlinux.twin,1\\"");',
			).replace("1000 +", "1000 * twin(0) +");
			machine.insmodC("target", target);
			expect(await load(text)).toBe(0);
			machine.settle();
			call("target_func", 501 * 1000 + 80);
		});

		test.each([
			[".klp.sym.target.nowhere,0", EINVAL, "livepatch: symbol 'nowhere' not found in symbol table"],
			[
				".klp.sym.target.helper,2",
				EINVAL,
				"livepatch: symbol position 2 for symbol 'helper' in object 'target' not found",
			],
		])("%s: the errno of the look-up, and nothing is left", async (symbol, errno, message) => {
			machine.insmodC("target", target);
			const before = machine.text();
			expect(await load(livepatch(symbol))).toBe(errno);
			expect(machine.dmesg(message)).toHaveLength(1);
			expect(machine.text()).toEqual(before);
			call("target_func", 40);
		});

		test("a relocation for the target must not want a symbol of vmlinux", async () => {
			const object = await compileModule("lp", livepatch(".klp.sym.target.helper,1"));
			const wrong = object.symbols.find(({ name }) => name === ".klp.sym.target.helper,1")!;
			machine.insmodC("target", target);
			// What only a tool can make: gcc and klp-convert put such a symbol into a section for vmlinux.
			const symbol = { ...wrong, name: ".klp.sym.vmlinux.weigh,1", livepatch: true, section: 0xff20 };
			const text = object.sections.find(({ relocations }) => relocations.some((one) => one.symbol === wrong))!;
			const relocations = text.relocations.filter((one) => one.symbol === wrong).map((one) => ({ ...one, symbol }));
			const edited: ElfObject = {
				...object,
				sections: object.sections.map((section) =>
					section === text ? { ...text, relocations: text.relocations.filter((one) => one.symbol !== wrong) } : section,
				),
				klpRelocations: [{ name: ".klp.rela.target..text", objname: "target", target: text.index, relocations }],
			};
			expect(machine.insmodC("lp", edited)).toBe(EINVAL);
			expect(machine.dmesg("invalid access to vmlinux symbol 'weigh'")).toHaveLength(1);
		});

		/**
		 * As in 6.12: the error path of klp_module_coming() reverts the patches before the one that failed, and does not clear the
		 * relocations of that one. The target cannot be loaded any more while the livepatch is installed.
		 */
		test("a target that was refused once finds its relocations applied already: -ENOEXEC", async () => {
			expect(await load(livepatch(".klp.sym.target.helper,1"))).toBe(0);
			machine.settle();
			expect(machine.it.shell.write("/sys/module/lp/parameters/refuse", "-19")).toBe(0);
			expect(machine.insmodC("target", target)).toBe(ENODEV);
			expect(machine.it.shell.write("/sys/module/lp/parameters/refuse", "0")).toBe(0);
			expect(machine.insmodC("target", target)).toBe(ENOEXEC);
			expect(machine.dmesg("Invalid relocation target, existing value is nonzero")).toHaveLength(1);
			machine.echo("0", "lp/enabled");
			machine.settle();
			expect(machine.it.shell.rmmod("lp")).toBe(0);
			expect(machine.insmodC("target", target)).toBe(0);
		});
	},
);
