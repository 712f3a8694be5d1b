/** What is loaded is understood, or refused by name. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CPU_NAMES } from "../../../src/node/index.js";
import { compileModule, createTestMachine, type TestMachine } from "../../support/machine.js";

const [ENOENT, ENOEXEC, EEXIST] = [-2, -8, -17];

const HEAD = "#include <linux/livepatch.h>\n#include <linux/module.h>\n";
const livepatch = (body: string, objects = "{ .funcs = funcs }, { }") => `${HEAD}
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
long weigh(long x);
${body}
static struct klp_func funcs[] = { { .old_name = "funcA", .new_func = new_funcA }, { } };
static struct klp_object objs[] = { ${objects} };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs };
static int lp_init(void) { return klp_enable_patch(&patch); }
static void lp_exit(void) { }
module_init(lp_init);
module_exit(lp_exit);
`;
const NEW_FUNC = "static noinline long new_funcA(long x) { barrier(); return 42; }\n";
const section = (name: string) => `__asm__(".pushsection ${name}, \\"aw\\"\\n .quad 0\\n .popsection");\n`;

describe.each(CPU_NAMES)("on %s", (cpu) => {
	let machine: TestMachine;
	beforeEach(async () => {
		machine = await createTestMachine({ cpu, kernel: true });
	});
	afterEach(() => machine.close());
	const load = async (text: string) => machine.insmodC("lp", await compileModule("lp", text));

	test.each([
		...[".parainstructions", ".data..percpu"],
		...[
			".init_array.5",
			".initcall6.init",
			".klp.arch.vmlinux..altinstructions",
			".kpatch.relocations",
			"__klp_relocs.vmlinux",
			"__tracepoints_ptrs",
		],
	])("section %s is -ENOEXEC, and dmesg names it", async (name) => {
		const before = machine.text();
		expect(await load(livepatch(NEW_FUNC + section(name)))).toBe(ENOEXEC);
		expect(machine.dmesg("lp: ")).toEqual([
			expect.stringMatching(`^lp: section '${name}' \\(.*\\) is not supported: `),
		]);
		expect(machine.it.modules.size).toBe(0);
		expect(machine.it.heap.count).toBe(0);
		expect(machine.text()).toEqual(before);
	});

	test.each([".smp_locks", ".return_sites", ".ibt_endbr_seal", "constructor", "toString"])(
		"section %s changes nothing",
		async (name) => {
			expect(await load(livepatch(NEW_FUNC + section(name)))).toBe(0);
		},
	);

	test("symbols that nothing defines are -ENOENT, each in the kernel's words; weak ones may be missing", async () => {
		const body = `extern long not_there(long x), nor_there(long x);
extern long maybe(long x) __attribute__((weak));
static noinline long new_funcA(long x) { return not_there(x) + nor_there(x) + (maybe ? maybe(x) : 1); }\n`;
		expect(await load(livepatch(body))).toBe(ENOENT);
		expect(machine.dmesg("lp: ")).toEqual([
			"lp: Unknown symbol not_there (err -2)",
			"lp: Unknown symbol nor_there (err -2)",
		]);
	});

	test("the same object twice in a patch is -EEXIST, and nothing stays", async () => {
		const twice = '{ .funcs = funcs }, { .name = "vmlinux", .funcs = funcs }, { }';
		expect(await load(livepatch(NEW_FUNC, twice))).toBe(EEXIST);
		expect(machine.it.modules.size).toBe(0);
		expect(machine.it.heap.count).toBe(0);
	});

	test("branches to thunks become what they are without mitigations, conditional ones too", async () => {
		const K = '__attribute__((__noinline__, __function_return__("thunk-extern"), __indirect_branch__("thunk-extern")))';
		const body = `static long (*volatile through)(long x);
${K} long leaf(long x) { barrier(); return x + 4; }
${K} long tail(long x) { return through(x); }
__asm__("conditional: test %rdi, %rdi\\n je __x86_return_thunk\\n mov through(%rip), %rax\\n jne __x86_indirect_thunk_rax\\n ud2");
long conditional(long x);
static ${K} long new_funcA(long x) { through = leaf; return through(x) + 10 * tail(x) + conditional(x); }\n`;
		expect(await load(livepatch(body))).toBe(0);
		machine.settle();
		const task = machine.task("t", "funcA");
		const x = task.pid;
		expect(machine.call(task, "funcA")).toBe(x + 4 + 10 * (x + 4) + x + 4);
	});

	test("a fault at an instruction of __ex_table goes on at its fixup, with the registers that the type asks for", async () => {
		// EX_TYPE_IMM_REG, register rcx, -14; EX_TYPE_FAULT; EX_TYPE_DEFAULT with EX_FLAG_CLEAR_AX.
		const entries = [
			["1b", "2b", (-14 << 16) | (1 << 8) | 17],
			["3b", "4b", 2],
			["5b", "6b", 0x1001],
		];
		const lines = [
			...["faults: xor %ecx, %ecx", "xor %eax, %eax", "1: mov 8(%rcx), %rdx", "ud2"],
			...["2: mov %rcx, %rdx", "mov $0x800000000000, %rcx", "3: mov (%rcx), %rsi", "ud2"],
			...["4: imul $100, %rax, %rcx", "add %rcx, %rdx", "mov $5, %eax", "5: ud2", "6: add %rdx, %rax", "ret"],
			'.pushsection __ex_table, "a"',
			...entries.map(([insn, fixup, data]) => `.long ${insn} - ., ${fixup} - ., ${data}`),
			".popsection",
		];
		const body = `long faults(void);
__asm__(${lines.map((line) => JSON.stringify(`${line}\n`)).join("\n")});
static noinline long new_funcA(long x) { return faults(); }\n`;
		expect(await load(livepatch(body))).toBe(0);
		machine.settle();
		const task = machine.task("t", "funcA");
		expect(machine.call(task, "funcA")).toBe(-14 + 100 * 13);
	});

	test("a table that is only read behind livepatch relocations can still refuse the module", async () => {
		const body = `extern long twin(long x) __asm__("\\".klp.sym.vmlinux.call_twin,0\\"");
__asm__("1: nop\\n.pushsection __ex_table, \\"a\\"\\n.long 1b - ., 1b - ., 20\\n.popsection");
static noinline long new_funcA(long x) { return twin(x) + 7; }\n`;
		const before = machine.text();
		expect(await load(livepatch(body))).toBe(ENOEXEC);
		expect(machine.dmesg("lp: ").at(-1)).toMatch(
			/^lp: section '__ex_table' offset 0x0 \(.*EX_TYPE_ZEROPAD\) is not supported/,
		);
		expect(machine.it.modules.size).toBe(0);
		expect(machine.text()).toEqual(before);
	});

	test("a symbol as klp-convert names it: .klp.sym.rela.PATCHED.OBJECT.NAME,SYMPOS", async () => {
		const body = `extern long twin(long x) __asm__("\\".klp.sym.rela.vmlinux.vmlinux.call_twin,0\\"");
static noinline long new_funcA(long x) { return twin(x) + 7; }\n`;
		expect(await load(livepatch(body))).toBe(0);
		machine.settle();
		const task = machine.task("t", "call_twin", "funcA");
		expect(machine.call(task, "funcA")).toBe(machine.call(task, "call_twin") + 7);
	});
});
