/** Modules with one fault each, for the checks and for comparing them with a kernel. */
import type { KoOptions } from "./ko.js";

/** A fault: its kind (or kinds, of which one follows from the other), the module with it, errno and dmesg, and the module without it, if it is not the usual one. */
export type Fault = readonly [kind: string, faulty: KoOptions, dmesg: string | undefined, fixed?: KoOptions];

const NOINLINE = "__attribute__((__noinline__, __noclone__))";
const LONG = "f".repeat(512);
const CALLBACK = "static int pre(struct klp_object *o) { return kmalloc(8, 1) == NULL; }";
const UNDO = "void kfree(void *); static void undo(struct klp_object *o) { kfree(o); }";
const ALLOC = "noinline void *new_foo(void *x) { return klp_shadow_alloc(x, 7, 8, 0, NULL, NULL); }";

/** A function whose last instruction is a call that does not return. */
const end = (last: string) =>
	`__attribute__((noreturn)) void ${last}(long); noinline long new_foo(long x) { if (x) ${last}(x); return 1; }`;
/** A function with a branch that gcc takes out of it. */
const cold = (branch: string) =>
	`__attribute__((cold, noreturn)) void die(long); noinline long new_foo(long x) { if (x == 9) { ${branch} } return x + 1; }`;

export const FAULTS: readonly Fault[] = [
	["unmarked", { modinfo: { livepatch: null } }, "livepatch: module lp is not marked as a livepatch module"],
	["module-named-vmlinux", { name: "vmlinux" }, "livepatch: vmlinux.ko: invalid module name"],
	["not-gpl", { modinfo: { license: "Proprietary" } }, "lp: Unknown symbol klp_enable_patch (err -2)"],
	["not-gpl", { modinfo: { license: null } }, "lp: Unknown symbol klp_enable_patch (err -2)"],
	["no-vermagic", { modinfo: { vermagic: null } }, undefined],
	["no-this-module", { thisModule: false }, "module lp: Exactly one .gnu.linkonce.this_module section must exist."],
	["common-symbol", { code: "int shared;", flags: ["-fcommon"] }, "lp: please compile with -fno-common"],
	["no-mod", { patch: ".objs = objs" }, undefined],
	["no-objs", { patch: ".mod = THIS_MODULE" }, undefined],
	["no-funcs", { objs: '{ .funcs = funcs }, { .name = "ext4" }, { }' }, undefined],
	[
		"object-twice",
		{ objs: '{ .name = "ext4", .funcs = funcs }, { .name = "ext4", .funcs = OTHER }, { }' },
		"sysfs: cannot create duplicate filename '/kernel/livepatch/lp/ext4'",
		{ objs: '{ .name = "ext4", .funcs = funcs }, { .name = "xfs", .funcs = OTHER }, { }' },
	],
	[
		"funcs-shared",
		{ objs: '{ .name = "ext4", .funcs = funcs }, { .name = "xfs", .funcs = funcs }, { }' },
		undefined,
		{ objs: '{ .name = "ext4", .funcs = funcs }, { .name = "xfs", .funcs = OTHER }, { }' },
	],
	[
		"object-name-long",
		{ objs: `{ .name = "${"m".repeat(56)}", .funcs = funcs }, { }` },
		undefined,
		{
			objs: `{ .name = "${"m".repeat(55)}", .funcs = funcs }, { }`,
		},
	],
	[
		"object-name-empty",
		{ objs: '{ .name = "", .funcs = funcs }, { }' },
		"kobject: (…): attempted to be registered with empty name!",
	],
	["func-no-name", { funcs: "{ .new_func = new_foo }, { }" }, undefined],
	["func-no-new", { funcs: '{ .old_name = "foo" }, { }' }, undefined],
	[
		"func-name-long",
		{ funcs: `{ .old_name = "${LONG}", .new_func = new_foo }, { }` },
		undefined,
		{
			funcs: `{ .old_name = "${LONG.slice(1)}", .new_func = new_foo }, { }`,
		},
	],
	[
		"func-twice",
		{
			funcs:
				'{ .old_name = "foo", .new_func = new_foo }, { .old_name = "foo", .new_func = new_foo, .old_sympos = 1 }, { }',
		},
		"sysfs: cannot create duplicate filename '/kernel/livepatch/lp/vmlinux/foo,1'",
		{
			funcs:
				'{ .old_name = "foo", .new_func = new_foo }, { .old_name = "foo", .new_func = new_foo, .old_sympos = 2 }, { }',
		},
	],
	[
		"no-call-site",
		{ funcs: '{ .old_name = "foo.cold", .new_func = new_foo }, { }' },
		"livepatch: failed to find location for function 'foo.cold'",
	],
	["no-init", { hooks: false }, undefined],
	["never-enabled", { body: "int init_module(void) { return 0; }" }, undefined],
	["empty-patch", { funcs: "{ }" }, undefined],
	["empty-patch", { objs: "{ }" }, undefined],
	["replaces-all", { funcs: "{ }", patch: ".mod = THIS_MODULE, .objs = objs, .replace = 1" }, undefined],
	[
		"empty-object",
		{
			more: "static struct klp_func none[] = { { } };",
			objs: '{ .funcs = funcs }, { .name = "ext4", .funcs = (struct klp_func[]) { { } } }, { }',
		},
		undefined,
	],
	["object-vmlinux", { objs: '{ .name = "vmlinux", .funcs = funcs }, { }' }, undefined],
	[
		"symbol-missing object-own",
		{ objs: '{ .name = "lp", .funcs = funcs }, { }' },
		"livepatch: symbol 'foo' not found in symbol table",
	],
	[
		"object-own",
		{
			objs: '{ .name = "lp", .funcs = funcs }, { }',
			funcs: '{ .old_name = "mine", .new_func = new_foo }, { }',
			code: `${NOINLINE} long mine(long x) { return x; }`,
		},
		undefined,
	],
	[
		"object-never",
		{ objs: '{ .name = "snd-hda-intel", .funcs = funcs }, { }' },
		undefined,
		{
			objs: '{ .name = "snd_hda_intel", .funcs = funcs }, { }',
		},
	],
	["object-never", { objs: '{ .name = "ext4.ko", .funcs = funcs }, { }' }, undefined],
	["no-terminator", { funcs: '{ .old_name = "foo", .new_func = new_foo }' }, undefined],
	["no-terminator", { objs: "{ .funcs = funcs }" }, undefined],
	[
		"state-twice",
		{
			more: "static struct klp_state states[] = { { 5, 1 }, { 5, 2 }, { } };",
			patch: ".mod = THIS_MODULE, .objs = objs, .states = states",
		},
		undefined,
		{
			more: "static struct klp_state states[] = { { 5, 1 }, { 6, 2 }, { } };",
			patch: ".mod = THIS_MODULE, .objs = objs, .states = states",
		},
	],
	["new-func-init", { code: "long __init new_foo(long x) { return x + 1; }" }, undefined],
	["new-func-not-code", { code: "long new_foo[4] = { 1 };" }, undefined],
	["new-func-middle", { funcs: '{ .old_name = "foo", .new_func = (char *) new_foo + 4 }, { }' }, undefined],
	["new-func-itself", { code: "long foo(long); noinline long new_foo(long x) { return foo(x) + 1; }" }, undefined],
	[
		"callback-pair",
		{ code: CALLBACK, objs: "{ .funcs = funcs, .callbacks = { .pre_patch = pre } }, { }" },
		undefined,
		{
			code: CALLBACK + UNDO,
			objs: "{ .funcs = funcs, .callbacks = { .pre_patch = pre, .post_unpatch = undo } }, { }",
		},
	],
	[
		"callback-pair",
		{ code: UNDO, objs: "{ .funcs = funcs, .callbacks = { .post_patch = undo } }, { }" },
		undefined,
		{
			code: 'static void tell(struct klp_object *o) { _printk("patched"); }',
			objs: "{ .funcs = funcs, .callbacks = { .post_patch = tell } }, { }",
		},
	],
	["shadow-never-freed", { code: ALLOC }, undefined, { code: ALLOC, exit: "klp_shadow_free_all(7, NULL);" }],
	["shadow-never-freed", { code: ALLOC, exit: "klp_shadow_free_all(8, NULL);" }, undefined],
	["shadow-one-by-one", { code: `${ALLOC} void bar(void *x) { klp_shadow_free(x, 7, NULL); }` }, undefined],
	["no-exit", { exit: null }, undefined],
	["set-at-run-time", { code: "bool replace;", init: "patch.replace = replace;" }, undefined],
	["holds-up", { code: "noinline long new_foo(long x) { schedule(); return x + 1; }" }, undefined],
	[
		"holds-up",
		{
			code: "static noinline void deep(void *m) { mutex_lock(m); mutex_unlock(m); } noinline long new_foo(long x) { deep((void *) x); return x + 1; }",
		},
		undefined,
		{
			code: "static noinline void deep(void *m) { mutex_unlock(m); } noinline long new_foo(long x) { deep((void *) x); return x + 1; }",
		},
	],
	[
		"noreturn-end",
		{ code: end("do_exit"), flags: ["-falign-functions=1"] },
		undefined,
		{ code: end("panic"), flags: ["-falign-functions=1"] },
	],
	["cold-piece", { code: cold("die(x);") }, undefined, { code: cold("x = 3;") }],
	[
		"cold-sleeps holds-up",
		{ code: `__attribute__((cold)) void msleep(int); ${cold("msleep(x); die(x);")}` },
		undefined,
	],
];
