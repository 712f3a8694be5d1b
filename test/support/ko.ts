/**
 * .ko files for tests, made with gcc alone: C that has the sections which the kernel's build gives a module. Its structs are those of a
 * kernel that does not exist: each field is elsewhere than in asm/include, so that a test sees which layout was used.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ElfObject } from "../../src/elf/index.js";
import { KernelLayout } from "../../src/linux/klp-c/index.js";
import { objectFor } from "../../src/node/index.js";
import { LAYOUT_FILE } from "../../src/node/kernel/index.js";
import { compileModule } from "./machine.js";

export const KO_RELEASE = "6.12.99-test";

/** By field or type; the structs are in {@link PRELUDE}. */
const LAYOUT: Readonly<Record<string, number>> = {
	"sizeof(struct module)": 256,
	"module.state": 8,
	"module.name": 32,
	"module.init": 128,
	"module.exit": 200,
	"sizeof(struct klp_patch)": 64,
	"klp_patch.mod": 8,
	"klp_patch.objs": 24,
	"klp_patch.states": 16,
	"klp_patch.replace": 5,
	"sizeof(struct klp_object)": 96,
	"klp_object.name": 16,
	"klp_object.funcs": 8,
	"klp_object.callbacks": 24,
	"klp_object.mod": 72,
	"klp_object.patched": 80,
	"sizeof(struct klp_callbacks)": 40,
	"klp_callbacks.pre_patch": 8,
	"klp_callbacks.post_patch": 0,
	"klp_callbacks.pre_unpatch": 24,
	"klp_callbacks.post_unpatch": 16,
	"sizeof(struct klp_func)": 48,
	"klp_func.old_name": 24,
	"klp_func.new_func": 16,
	"klp_func.old_sympos": 8,
	"sizeof(struct klp_state)": 32,
	"klp_state.id": 8,
	"klp_state.version": 4,
	"sizeof(struct task_struct)": 4600,
	"task_struct.pid": 4500,
	"task_struct.tgid": 4504,
	"task_struct.comm": 4520,
	"task_struct.flags": 44,
	"task_struct.thread_info.flags": 0,
	"task_struct.__state": 24,
	"pcpu_hot.current_task": 16,
	"pcpu_hot.preempt_count": 24,
};

export const KO_LAYOUT = new KernelLayout(
	KO_RELEASE,
	new Map(Object.entries(LAYOUT).map(([name, value]) => [name, BigInt(value)])),
);

const PRELUDE = `
typedef unsigned int u32;
typedef unsigned long u64;
#define NULL ((void *)0)
#define noinline __attribute__((__noinline__))
#define SECTION(name) __attribute__((__used__, __section__(name)))
struct module {
	u64 pad; int state; u64 list[2]; char name[56]; u64 pad2[5]; int (*init)(void); u64 pad3[8]; void (*exit)(void); u64 pad4[6];
};
struct klp_object;
struct klp_func { u64 pad; u64 old_sympos; void *new_func; const char *old_name; u64 pad2[2]; };
struct klp_callbacks {
	void (*post_patch)(struct klp_object *); int (*pre_patch)(struct klp_object *);
	void (*post_unpatch)(struct klp_object *); void (*pre_unpatch)(struct klp_object *); u64 pad;
};
struct klp_object {
	u64 pad; struct klp_func *funcs; const char *name; struct klp_callbacks callbacks; u64 pad2; struct module *mod; _Bool patched;
	u64 pad3;
};
struct klp_state { u32 pad; u32 version; u64 id; u64 pad2[2]; };
struct klp_patch { u32 pad; char pad2; _Bool replace; struct module *mod; struct klp_state *states; struct klp_object *objs; u64 pad3[4]; };
_Static_assert(sizeof(struct module) == 256 && sizeof(struct klp_patch) == 64 && sizeof(struct klp_object) == 96, "sizes");
_Static_assert(sizeof(struct klp_func) == 48 && sizeof(struct klp_state) == 32 && sizeof(struct klp_callbacks) == 40, "sizes");
int klp_enable_patch(struct klp_patch *);
struct klp_state *klp_get_state(struct klp_patch *, u64 id);
int _printk(const char *, ...);
extern struct module __this_module;
#define THIS_MODULE (&__this_module)
#define CONCAT2(a, b) a##b
#define CONCAT(a, b) CONCAT2(a, b)
#define INFO(text) static const char CONCAT(modinfo_, __COUNTER__)[] SECTION(".modinfo") = text
`;

export interface KoOptions {
	/** Default: the module's. */
	readonly structName?: string;
	/** Entries of .modinfo in place of vermagic; default: that of {@link KO_RELEASE}. */
	readonly vermagic?: string | null;
	readonly livepatch?: boolean;
	readonly depends?: string;
	/** Default: GPL; null: none. */
	readonly license?: string | null;
	/** Functions of the body; default: its livepatch is enabled, and never goes. */
	readonly init?: string;
	readonly exit?: string | null;
	/** Parts of {@link PRELUDE} to be replaced. */
	readonly edit?: (text: string) => string;
}

/** The C of a .ko. `body`: C in front of init. */
function koText(name: string, body: string, options: KoOptions): string {
	const { structName = name, livepatch = true, init = "lp_init", exit = "lp_exit", edit = (text) => text } = options;
	const { license = "GPL", vermagic = `${KO_RELEASE} SMP preempt mod_unload modversions ` } = options;
	const entries = [
		`INFO("name=${name}");`,
		...(vermagic === null ? [] : [`INFO("vermagic=${vermagic}");`]),
		...(license === null ? [] : [`INFO("license=${license}");`]),
		...(livepatch ? ['INFO("livepatch=Y");'] : []),
		`INFO("depends=${options.depends ?? ""}");`,
	];
	const thisModule = `struct module __this_module SECTION(".gnu.linkonce.this_module") = {
	.name = "${structName}", .init = ${init}, .exit = ${exit ?? "NULL"},
};
`;
	return edit([PRELUDE, body, ...entries, thisModule].join("\n"));
}

/** Compiles a .ko. `body`: C in front of init. */
export function makeKo(name: string, body: string, options: KoOptions = {}): Promise<ElfObject> {
	return compileModule(name, koText(name, body, options));
}

/** The same as a file NAME.ko in a folder, which gets the layout that its structs have. */
export async function writeKo(folder: string, name: string, body: string, options: KoOptions = {}): Promise<string> {
	const source = join(folder, `${name}.c`);
	await writeFile(source, koText(name, body, options));
	const file = join(folder, `${name}.ko`);
	await writeFile(file, (await objectFor(source)).bytes);
	const layout = { format: 1, release: KO_RELEASE, config: {}, compiler: "", entries: LAYOUT };
	await writeFile(join(folder, LAYOUT_FILE), JSON.stringify(layout));
	return file;
}

/** A livepatch of funcA, in C. `new_funcA` and `objs` may be replaced by others. */
export function livepatchBody({
	funcs = "long new_funcA(long x) { return 42; }",
	objects = "{ .funcs = funcs }, { }",
	more = "",
} = {}): string {
	return `${funcs}
static struct klp_func funcs[] = { { .old_name = "funcA", .new_func = new_funcA }, { } };
${more}
static struct klp_object objs[] = { ${objects} };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs };
static int lp_init(void) { return klp_enable_patch(&patch); }
static void lp_exit(void) { }
`;
}
