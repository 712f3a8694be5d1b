import { basename, dirname, join, resolve } from "node:path";
import { KlpemuError } from "../../base/index.js";
import type { LivepatchSpec } from "../../scenario/index.js";
import { readIfThere } from "../files.js";
import { type KitModule, type KitPlan, TARGET } from "./plan.js";

/** Files of the kit: path below its folder -> content. */
export type KitFiles = Map<string, string>;

/** Copies the sources of a module, unchanged, and what they include with quotes. */
export async function addSources(files: KitFiles, folder: string, module: KitModule): Promise<void> {
	for (const { path } of module.sources) await addSource(files, folder, path, basename(path));
}

async function addSource(files: KitFiles, folder: string, path: string, name: string): Promise<void> {
	const to = join(folder, name);
	if (files.has(to) || to.startsWith("..")) return;
	const bytes = await readIfThere(path);
	if (bytes === undefined) throw new KlpemuError("FILE_MISSING", `there is no file '${path}'`);
	const text = new TextDecoder().decode(bytes);
	files.set(to, text);
	for (const [, header] of text.matchAll(/^\s*#\s*include\s*"([^"]+)"/gm)) {
		const file = resolve(dirname(path), header!);
		if ((await readIfThere(file)) !== undefined) await addSource(files, folder, file, join(dirname(name), header!));
	}
}

const HEAD = (what: string) => `// SPDX-License-Identifier: GPL-2.0-only
/* Written by klpemu kit: ${what} */
`;

/** The file of an ordinary module that makes it one: exports and the licence. */
export function mainOf(module: KitModule): string {
	const what =
		module.name === TARGET ? "the functions of the scenario's vmlinux, as a module" : `module ${module.name}`;
	const needsInit = !module.sources.some(({ object }) =>
		object.symbols.some((one) => one.name === "init_module" && one.section !== 0),
	);
	return `${HEAD(what)}#include <linux/module.h>

${exportsOf(module)}${needsInit ? INIT : ""}${licence(module)}`;
}

const INIT = `static int __init kit_init(void)
{
	return 0;
}

static void __exit kit_exit(void)
{
}

module_init(kit_init);
module_exit(kit_exit);
`;

function exportsOf(module: KitModule): string {
	if (module.exports.length === 0) return "";
	const lines = module.exports.map((name) => `extern char ${name}[];\nEXPORT_SYMBOL_GPL(${name});`);
	return `/* What livepatches and other modules use. The types are of no importance here. */\n${lines.join("\n")}\n\n`;
}

/** Not twice: a source in C may have its own. */
function licence(module: KitModule): string {
	const has = module.sources.some(({ object }) => object.sections.some(({ name }) => name === ".modinfo"));
	return has ? "" : 'MODULE_LICENSE("GPL");\n';
}

/** patch.c of a livepatch that the scenario describes: its struct klp_patch. */
export function patchOf(module: KitModule, plan: KitPlan): string {
	const spec = module.patch!;
	const single = module.sources.length === 1;
	const funcs = spec.objects.flatMap((object) =>
		object.funcs.map((func) => ({ ...func, object: plan.objectOf(object.name, func.old_name) })),
	);
	const objects = [...new Set(funcs.map(({ object }) => object))];
	const declared = [...new Set(funcs.map(({ new_func }) => new_func))].map((name) => `extern void ${name}(void);`);
	const includes = single ? `#include "${basename(module.sources[0]!.path)}"` : declared.join("\n");
	const tables = objects.map((object) => {
		const rows = funcs
			.filter((func) => func.object === object)
			.map(({ old_name, new_func, sympos, fields }) => {
				const more = Object.entries(fields).map(([key, value]) => ` .${key} = ${Number(value)},`);
				return `	{ .old_name = "${old_name}", .new_func = ${new_func},${sympos > 0 ? ` .old_sympos = ${sympos},` : ""}${more.join("")} },`;
			});
		return `static struct klp_func kit_funcs_${object}[] = {\n${rows.join("\n")}\n	{ }\n};\n`;
	});
	const rows = objects.map(
		(object) => `	{${object === "vmlinux" ? "" : ` .name = "${object}",`} .funcs = kit_funcs_${object}, },`,
	);
	const states = spec.states.map(({ id, version }) => `	{ .id = ${id}, .version = ${version}, },`);
	const fields = Object.entries(spec.fields).filter(([key]) => key !== "replace");
	const params = fields.map(([key, value]) => {
		const type = typeof value === "boolean" ? "bool" : "uint";
		return `static ${type === "bool" ? "bool" : "unsigned int"} ${key} = ${Number(value)};\nmodule_param(${key}, ${type}, 0444);\n`;
	});
	return `${HEAD(`livepatch ${spec.name}, as the scenario describes it`)}#include <linux/module.h>
#include <linux/livepatch.h>

${single ? "/* The scenario's own source, unchanged: also functions that are static can be named below. */\n" : ""}${includes}

${tables.join("\n")}
static struct klp_object kit_objs[] = {
${rows.join("\n")}
	{ }
};
${states.length > 0 ? `\nstatic struct klp_state kit_states[] = {\n${states.join("\n")}\n	{ }\n};\n` : ""}
static struct klp_patch kit_patch = {
	.mod = THIS_MODULE,
	.objs = kit_objs,
${states.length > 0 ? "	.states = kit_states,\n" : ""}${replaceOf(spec.fields)}};

${params.length > 0 ? `/* Fields that a kernel with design ${plan.design} has in struct klp_patch. */\n${params.join("")}\n` : ""}static int __init kit_init(void)
{
${fields.map(([key]) => `	kit_patch.${key} = ${key};\n`).join("")}	return klp_enable_patch(&kit_patch);
}

static void __exit kit_exit(void)
{
}

module_init(kit_init);
module_exit(kit_exit);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
`;
}

/** klp_patch.replace: bool in mainline, a number in some designs; false and 0 need no line. */
function replaceOf({ replace = false }: LivepatchSpec["fields"]): string {
	return Number(replace) === 0 ? "" : `	.replace = ${replace},\n`;
}

/**
 * livepatch-in-c.h, which is included before a livepatch in C that enables itself: its objects without a name are vmlinux, and what the
 * scenario has in vmlinux is in the target module.
 */
export function selfEnabling(plan: KitPlan): string {
	const real = [...plan.inVmlinux].sort().map((name) => `"${name}", `);
	return `/* SPDX-License-Identifier: GPL-2.0-only */
/* Written by klpemu kit. For livepatches in C: an object without a name is vmlinux; the scenario's vmlinux is ${TARGET}.ko here. */
#include <linux/livepatch.h>
#include <linux/string.h>

static inline bool kit_in_vmlinux(const char *func)
{
	static const char *const names[] = { ${real.join("")}NULL };
	int i;

	for (i = 0; names[i]; i++)
		if (!strcmp(names[i], func))
			return true;
	return false;
}

static inline int kit_enable_patch(struct klp_patch *patch)
{
	struct klp_object *obj;

	for (obj = patch->objs; obj && (obj->funcs || obj->name); obj++)
		if (!obj->name && obj->funcs && obj->funcs->old_name && !kit_in_vmlinux(obj->funcs->old_name))
			obj->name = "${TARGET}";
	return klp_enable_patch(patch);
}
#define klp_enable_patch(patch) kit_enable_patch(patch)
`;
}
