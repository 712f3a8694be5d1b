/** Livepatches as tools make them: klp-build, kpatch, klp-convert. Their init functions run as they are. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { klpConvert } from "../../../src/elf/index.js";
import { CPU_NAMES } from "../../../src/node/index.js";
import { KO_LAYOUT, livepatchBody, makeKo } from "../../support/ko.js";
import { createTestMachine, type TestMachine } from "../../support/machine.js";

const ENOENT = -2;

/** What the init function of a tool does: it makes the struct klp_patch of a table. */
const HELPERS = `
void *__kmalloc_noprof(u64 size, u32 flags);
void kfree(void *);
static void *kzalloc(u64 size) { return __kmalloc_noprof(size, 0x100 | 0xcc0); }
long new_funcA(long x) { return 42; }
static struct klp_patch *patch;
static struct klp_object *alloc_patch(int objects)
{
	patch = kzalloc(sizeof(*patch));
	patch->mod = THIS_MODULE;
	patch->replace = 1;
	patch->objs = kzalloc(sizeof(struct klp_object) * (objects + 1));
	return patch->objs;
}
static struct klp_func *alloc_funcs(int funcs) { return kzalloc(sizeof(struct klp_func) * (funcs + 1)); }
static void lp_exit(void) { kfree(patch->objs[0].funcs); kfree(patch->objs); kfree(patch); }
`;

/** struct klp_object_ext and klp_func_ext (include/linux/livepatch_external.h) of Linux 6.19. */
const klpBuild = (section: string, find: string) => `${HELPERS}
struct klp_func_ext { const char *old_name; void *new_func; u64 sympos; };
struct klp_object_ext { const char *name; struct klp_func_ext *funcs; struct klp_callbacks callbacks; u32 nr_funcs; };
static struct klp_func_ext funcs_ext[] SECTION("${section}klp_funcs") = { { "funcA", new_funcA, 1 } };
static struct klp_object_ext objs_ext[] SECTION("${section}klp_objects") = { { NULL, funcs_ext, { NULL }, 1 } };
${find}
static int lp_init(void)
{
	u64 size = 0;
	struct klp_object_ext *ext = find(&size);
	struct klp_object *obj;

	if (size != sizeof(*ext))
		return -22;
	obj = alloc_patch(1);
	obj->name = ext->name;
	obj->callbacks = ext->callbacks;
	obj->funcs = alloc_funcs(ext->nr_funcs);
	for (u32 i = 0; i < ext->nr_funcs; i++) {
		obj->funcs[i].old_name = ext->funcs[i].old_name;
		obj->funcs[i].new_func = ext->funcs[i].new_func;
		obj->funcs[i].old_sympos = ext->funcs[i].sympos;
	}
	return klp_enable_patch(patch);
}
`;

const SINCE_7_0 = `
void *klp_find_section_by_name(const struct module *mod, const char *name, u64 *size);
static struct klp_object_ext *find(u64 *size)
{
	if (klp_find_section_by_name(THIS_MODULE, ".init.nothing", size) || *size)
		return NULL;
	return klp_find_section_by_name(THIS_MODULE, ".init.klp_objects", size);
}`;

/** Of 6.19: the linker script of modules defines both ends. */
const SINCE_6_19 = `
extern struct klp_object_ext start[] __asm__("__start_klp_objects"), stop[] __asm__("__stop_klp_objects");
__asm__(".globl __start_klp_objects, __stop_klp_objects\\n__start_klp_objects = objs_ext\\n__stop_klp_objects = objs_ext + 64");
static struct klp_object_ext *find(u64 *size)
{
	struct klp_object_ext *first = start, *last = stop;

	__asm__("" : "+r"(first), "+r"(last));
	*size = (char *)last - (char *)first;
	return first;
}`;

/** struct kpatch_patch_func (kmod/patch/kpatch-patch.h); the linker script defines both ends of its section. */
const KPATCH = `${HELPERS}
struct kpatch_patch_func { u64 new_addr, new_size, old_addr, old_size, sympos; const char *name, *objname; };
struct kpatch_pre_patch_callback { int (*callback)(void *obj); const char *objname; };
static char objname[] SECTION(".kpatch.strings") = "vmlinux";
static struct kpatch_patch_func kfuncs[] SECTION(".kpatch.funcs") = {
	{ .new_addr = (u64)new_funcA, .sympos = 1, .name = "funcA", .objname = objname },
};
int called;
static int pre(void *obj) { called++; return 0; }
static struct kpatch_pre_patch_callback callbacks[] SECTION(".kpatch.callbacks.pre_patch") = { { pre, objname } };
static u64 force SECTION(".kpatch.force") = 0;
static int lp_init(void)
{
	struct klp_object *obj = alloc_patch(1);

	obj->callbacks.pre_patch = (void *)callbacks[0].callback;
	obj->funcs = alloc_funcs(1);
	obj->funcs[0].old_name = kfuncs[0].name;
	obj->funcs[0].new_func = (void *)kfuncs[0].new_addr;
	obj->funcs[0].old_sympos = kfuncs[0].sympos;
	return klp_enable_patch(patch);
}
`;

describe.each(CPU_NAMES)("on %s", (cpu) => {
	let machine: TestMachine;
	beforeEach(async () => {
		machine = await createTestMachine({ cpu, kernel: true, twin: true, kernelLayout: KO_LAYOUT });
	});
	afterEach(() => machine.close());
	const call = (func: string) => machine.call(machine.task("t", func), func);

	test.each([
		["klp-build since 7.0: .init.klp_objects, found by name", klpBuild(".init.", SINCE_7_0)],
		["klp-build of 6.19: __klp_objects, between two symbols", klpBuild("__", SINCE_6_19)],
		["kpatch: .kpatch.funcs, .kpatch.strings, .kpatch.callbacks.*", KPATCH],
	])("%s", async (_title, body) => {
		const before = machine.it.heap.count;
		expect(machine.insmodC("lp", await makeKo("lp", body))).toBe(0);
		machine.settle();
		expect(call("funcA")).toBe(42);
		expect(machine.cat("lp/replace")).toBe("1");
		expect(machine.func_stack("funcA")).toEqual(["new_funcA"]);
		expect(machine.echo("0", "lp/enabled")).toBe(0);
		machine.settle();
		expect(machine.it.shell.rmmod("lp")).toBe(0);
		expect(machine.it.heap.count).toBe(before);
	});

	const calls = (symbol: string) =>
		livepatchBody({
			funcs: `extern long other(long x) __asm__("\\"${symbol}\\"");
long new_funcA(long x) { return other(x) + 7; }`,
		});

	test("klp-convert and post-link: .klp.rela.OBJECT.SECTION against .klp.sym.OBJECT.NAME,POS", async () => {
		const object = klpConvert(await makeKo("lp", calls(".klp.sym.vmlinux.call_twin,0")));
		expect(object.klpRelocations.map(({ name }) => name)).toEqual([".klp.rela.vmlinux..text"]);
		expect(machine.insmodC("lp", object)).toBe(0);
		machine.settle();
		const task = machine.task("t", "funcA", "call_twin");
		expect(machine.call(task, "funcA")).toBe(machine.call(task, "call_twin") + 7);
	});

	test("a position that does not exist is refused, in the kernel's words", async () => {
		expect(machine.insmodC("lp", klpConvert(await makeKo("lp", calls(".klp.sym.vmlinux.call_twin,2"))))).toBe(-22);
		expect(machine.dmesg("livepatch: ")).toEqual([
			"livepatch: symbol position 2 for symbol 'call_twin' in object 'vmlinux' not found",
		]);
	});

	test("a name that was not converted, in SHN_LIVEPATCH: refused by name", async () => {
		const object = klpConvert(await makeKo("lp", calls(".klp.sym.vmlinux.call_twin,0")));
		const name = ".klp.sym.rela.vmlinux.vmlinux.call_twin,0";
		const klpRelocations = object.klpRelocations.map((section) => ({
			...section,
			relocations: section.relocations.map((one) => ({ ...one, symbol: { ...one.symbol, name } })),
		}));
		expect(machine.insmodC("lp", { ...object, klpRelocations })).toBe(-22);
		expect(machine.dmesg("livepatch: ")).toEqual([`livepatch: symbol ${name} has an incorrectly formatted name`]);
	});

	test.each([".klp.sym.vmlinux.call_twin,0", ".klp.sym.rela.vmlinux.vmlinux.call_twin,0"])(
		"what a converter was to convert is no object 'rela', but an unknown symbol: %s",
		async (symbol) => {
			expect(machine.insmodC("lp", await makeKo("lp", calls(symbol)))).toBe(ENOENT);
			expect(machine.dmesg("lp: ")).toEqual([`lp: Unknown symbol ${symbol} (err -2)`]);
		},
	);
});
