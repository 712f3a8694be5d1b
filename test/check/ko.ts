/**
 * Livepatch modules for tests, made by gcc alone: the few structures are declared here, with the layout of Debian's 6.12
 * (asm/kernel-layouts). Each test changes one part of a module that is right.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CheckReport, checkModule, type InputFile } from "../../src/check/index.js";
import { type KernelLayout, parseKernelLayout } from "../../src/linux/klp-c/index.js";

const LAYOUT_FILE = "asm/kernel-layouts/6.12-cloud-amd64.json";
export const layout: KernelLayout = parseKernelLayout(readFileSync(LAYOUT_FILE, "utf8"), LAYOUT_FILE);
export const VERMAGIC = "6.12.117+deb12-cloud-amd64 SMP preempt mod_unload modversions ";

const PRELUDE = `
typedef unsigned long u64;
typedef _Bool bool;
#define NULL ((void *)0)
#define noinline __attribute__((__noinline__))
#define SECTION(name) __attribute__((__used__, __section__(name)))
#define __init __attribute__((__section__(".init.text"), __cold__))
struct module { char pad[24]; char name[56]; char pad2[0x138 - 80]; int (*init)(void); char pad3[0x4b0 - 0x140]; void (*exit)(void);
	char pad4[1280 - 0x4b8]; };
struct klp_func { const char *old_name; void *new_func; u64 old_sympos; char internal[128]; };
struct klp_object;
struct klp_callbacks { int (*pre_patch)(struct klp_object *); void (*post_patch)(struct klp_object *);
	void (*pre_unpatch)(struct klp_object *); void (*post_unpatch)(struct klp_object *); bool post_unpatch_enabled; };
struct klp_object { const char *name; struct klp_func *funcs; struct klp_callbacks callbacks; char internal[112]; };
struct klp_state { u64 id; unsigned int version; void *data; };
struct klp_patch { struct module *mod; struct klp_object *objs; struct klp_state *states; bool replace; char internal[175]; };
struct klp_func_ext { const char *old_name; void *new_func; u64 sympos; };
struct klp_object_ext { const char *name; struct klp_func_ext *funcs; struct klp_callbacks callbacks; unsigned int nr_funcs; };
_Static_assert(sizeof(struct module) == 1280 && sizeof(struct klp_func) == 152 && sizeof(struct klp_object) == 168, "sizes");
_Static_assert(sizeof(struct klp_patch) == 208 || sizeof(struct klp_patch) == 200, "size");
int klp_enable_patch(struct klp_patch *);
int _printk(const char *, ...);
void *klp_shadow_alloc(void *obj, u64 id, u64 size, int flags, void *ctor, void *data);
void klp_shadow_free(void *obj, u64 id, void *dtor);
void klp_shadow_free_all(u64 id, void *dtor);
void *kmalloc(u64 size, int flags);
void mutex_lock(void *); void mutex_unlock(void *); void schedule(void); void msleep(int);
#define OTHER (struct klp_func[]) { { .old_name = "bar", .new_func = new_foo }, { } }
extern struct module __this_module;
#define THIS_MODULE (&__this_module)
#define CONCAT2(a, b) a##b
#define CONCAT(a, b) CONCAT2(a, b)
#define INFO(text) static const char CONCAT(modinfo_, __COUNTER__)[] SECTION(".modinfo") = text
`;

export interface KoOptions {
	readonly name?: string;
	/** Functions in front of the structures; `new_foo` is the replacement. */
	readonly code?: string;
	readonly funcs?: string;
	readonly objs?: string;
	/** Members of struct klp_patch. */
	readonly patch?: string;
	/** Declarations behind the arrays. */
	readonly more?: string;
	/** Statements of the init function. */
	readonly init?: string;
	readonly exit?: string | null;
	/** All the text from `new_foo` to the exit function. */
	readonly body?: string;
	/** Lines of .modinfo that take the place of those with the same key; null: none with this key. */
	readonly modinfo?: Readonly<Record<string, string | null>>;
	readonly thisModule?: boolean;
	/** False: the struct module has neither init nor exit. */
	readonly hooks?: boolean;
	readonly flags?: readonly string[];
	/** The function that stands for `foo` in the text. */
	readonly old?: string;
	/** The name of the C file. */
	readonly file?: string;
}

const FLAGS = [
	...[
		"-c",
		"-O2",
		"-xc",
		"-ffreestanding",
		"-mcmodel=kernel",
		"-fno-pic",
		"-fno-pie",
		"-fno-common",
		"-mno-sse",
		"-mno-red-zone",
	],
	...[
		"-fno-stack-protector",
		"-fno-asynchronous-unwind-tables",
		"-fcf-protection=none",
		"-pg",
		"-mfentry",
		"-mrecord-mcount",
	],
	...["-falign-functions=16", "-Wno-attributes"],
];

/** The C of a module. */
function source(options: KoOptions): string {
	const { name = "lp", code = "", more = "", init = "", exit = "" } = options;
	const { funcs = '{ .old_name = "foo", .new_func = new_foo }, { }', objs = "{ .funcs = funcs }, { }" } = options;
	const { patch = ".mod = THIS_MODULE, .objs = objs,", modinfo = {}, thisModule = true } = options;
	const body = `
static struct klp_func funcs[] = { ${funcs} };
static struct klp_object objs[] = { ${objs} };
${more}
static struct klp_patch patch = { ${patch} };
int __init init_module(void) { ${init} return klp_enable_patch(&patch); }
${exit === null ? "" : `void cleanup_module(void) { ${exit} }`}`;
	const text = options.body ?? body;
	const hooks = [
		["init", "init_module"],
		["exit", "cleanup_module"],
	].filter(([, name]) => text.includes(`${name}(`));
	const members = hooks.map(([member, name]) => (options.hooks === false ? "" : `.${member} = ${name},`)).join(" ");
	const info = { name, license: "GPL", livepatch: "Y", vermagic: VERMAGIC, depends: "", ...modinfo };
	return [
		PRELUDE,
		/\bnew_foo\b/.test(code) ? "" : "noinline long new_foo(long x) { return x + 1; }",
		code,
		text,
		...Object.entries(info).map(([key, value]) => (value === null ? "" : `INFO("${key}=${value}");`)),
		thisModule
			? `struct module __this_module SECTION(".gnu.linkonce.this_module") = { .name = "${name}", ${members} };`
			: "",
	]
		.join("\n")
		.replaceAll('"foo', `"${options.old ?? "foo"}`);
}

/** Compiles C as it is. */
export function compileC(text: string, flags: readonly string[] = [], file = "lp.c"): Uint8Array {
	const folder = mkdtempSync(join(tmpdir(), "klpemu-check-"));
	try {
		const out = join(folder, "out.o");
		writeFileSync(join(folder, file), text);
		execFileSync("gcc", [...FLAGS, ...flags, "-o", out, file], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
		return new Uint8Array(readFileSync(out));
	} finally {
		rmSync(folder, { recursive: true });
	}
}

const compiled = new Map<string, Uint8Array>();

/** The .ko of a module; nobody changes its bytes. */
export function ko(options: KoOptions = {}): InputFile {
	const text = source(options);
	const key = JSON.stringify([text, options.flags, options.file]);
	const bytes = compiled.get(key) ?? compileC(text, options.flags, options.file);
	compiled.set(key, bytes);
	return { name: `${options.name ?? "lp"}.ko`, bytes };
}

export function check(file: InputFile, against: readonly InputFile[] = [], exactLayout = false): CheckReport {
	return checkModule(file, { layout, exactLayout, against });
}

/** Kinds of the findings, in order. */
export function kinds({ findings }: CheckReport): string[] {
	return findings.map(({ kind }) => kind);
}

/** A text file for --against. */
export function textFile(name: string, lines: readonly string[]): InputFile {
	return { name, bytes: new TextEncoder().encode(`${lines.join("\n")}\n`) };
}
