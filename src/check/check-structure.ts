import type { Name, Patch, PatchFunc, PatchObject } from "./patch.js";
import { funcName, objectName, placeOf, type Subject } from "./subject.js";

/** Characters of module names: KBUILD_MODNAME has _ in place of - and ,. */
const MODULE_NAME = /^[A-Za-z0-9_.+]+$/;

/** klp_enable_patch(), as far as it looks at the structures. */
export function checkStructure(subject: Subject): void {
	const { file, found, enables, isLivepatch, patches } = subject;
	if (enables && !isLivepatch) {
		const dmesg = `livepatch: module ${file.name} is not marked as a livepatch module`;
		found.add("unmarked", { in: ".modinfo" }, "there is no livepatch= in .modinfo", dmesg);
	}
	if (isLivepatch && !enables) {
		found.add("never-enabled", {}, "no code of the module calls klp_enable_patch()");
	}
	const thisModule = file.sectionNamed(".gnu.linkonce.this_module");
	if (enables && thisModule !== undefined && file.relocationsOf(thisModule.index).size === 0) {
		found.add("no-init", { in: thisModule.name }, "");
	}
	for (const patch of patches) checkPatch(subject, patch);
	const entry = (name: string): boolean =>
		file.object.symbols.some((symbol) => symbol.name === name && symbol.section !== 0);
	if (enables && entry("init_module") && !entry("cleanup_module")) {
		found.add("no-exit", {}, "there is no cleanup_module");
	}
}

function checkPatch(subject: Subject, patch: Patch): void {
	const { found, file } = subject;
	if (patch.mod.kind === "null") found.add("no-mod", {}, "klp_patch.mod is NULL; the kernel says nothing");
	if (patch.objects === undefined && patch.filledBy === undefined) {
		found.add("no-objs", {}, "klp_patch.objs is NULL; the kernel says nothing");
	}
	for (const spot of patch.data) {
		if (file.isInit(spot))
			found.add("data-init", { in: file.describe(spot) }, `'${file.describe(spot)}' is in ${file.section(spot)?.name}`);
	}
	for (const { field, by } of patch.written) found.add("set-at-run-time", { in: by }, `${by}() sets ${field}`);
	if (!patch.terminated) found.add("no-terminator", {}, "the array of objects has no empty element at its end");
	if (!patch.statesTerminated) found.add("no-terminator", {}, "the array of states has no empty element at its end");
	checkStates(subject, patch);
	const objects = patch.objects ?? [];
	const seen = new Set<string>();
	const arrays = new Map<string, PatchObject>();
	for (const object of objects) {
		checkShared(subject, object, arrays);
		checkObject(subject, object);
		checkName(subject, object, seen);
	}
	checkEmpty(subject, patch, objects);
}

/** klp_init_object_early(), klp_init_func_early(): list_add_tail() of what is in a list already. */
function checkShared({ found }: Subject, object: PatchObject, arrays: Map<string, PatchObject>): void {
	if (object.funcsAt === undefined || (object.funcs ?? []).length === 0) return;
	const key = `${object.funcsAt.section}:${object.funcsAt.offset}`;
	const other = arrays.get(key);
	if (other === undefined) arrays.set(key, object);
	else found.add("funcs-shared", placeOf(object), `it has the array of '${objectName(other.name)}', too`);
}

function checkStates({ found }: Subject, { states }: Patch): void {
	const seen = new Set<number>();
	for (const { id } of states) {
		if (seen.has(id)) found.add("state-twice", {}, `the state ${id} is there twice`);
		seen.add(id);
	}
}

function checkEmpty({ found }: Subject, patch: Patch, objects: readonly PatchObject[]): void {
	const isEmpty = ({ funcs, callbacks, filledBy }: PatchObject): boolean =>
		funcs?.length === 0 && callbacks.size === 0 && filledBy === undefined;
	const runTime = patch.filledBy !== undefined && objects.length === 0;
	if (objects.every(isEmpty) && patch.objects !== undefined && !runTime) {
		if (patch.replace === true) found.add("replaces-all", {}, "it has replace, and neither functions nor callbacks");
		else found.add("empty-patch", {}, "it has neither functions nor callbacks");
		return;
	}
	for (const object of objects) {
		if (isEmpty(object)) found.add("empty-object", placeOf(object), "its array of functions is empty");
	}
}

function checkName({ found, file, limits }: Subject, object: PatchObject, seen: Set<string>): void {
	const place = placeOf(object);
	const name = objectName(object.name);
	if (object.name.kind === "unreadable") found.add("name-no-text", {}, "the name of an object is no text");
	if (seen.has(name) && object.name.kind !== "unreadable") {
		const dmesg = `sysfs: cannot create duplicate filename '/kernel/livepatch/${file.name}/${name}'`;
		found.add("object-twice", place, `there are two objects '${name}'`, dmesg);
	}
	seen.add(name);
	if (object.name.kind !== "text") return;
	if (name === "") {
		const dmesg = "kobject: (…): attempted to be registered with empty name!";
		found.add("object-name-empty", place, "the name of an object is empty", dmesg);
	} else if (name.length >= limits.moduleName) {
		found.add("object-name-long", place, `the name has ${name.length} characters; the kernel says nothing`);
	} else if (name === "vmlinux") found.add("object-vmlinux", place, 'klp_object.name is "vmlinux", not NULL');
	else if (name === file.name) found.add("object-own", place, `'${name}' is this module`);
	else if (!MODULE_NAME.test(name) || /\.k?o$/.test(name)) {
		const near = name
			.replace(/^.*\//, "")
			.replace(/\.k?o$/, "")
			.replaceAll(/[-,]/g, "_");
		found.add("object-never", place, `no module is ever named '${name}'; '${near}' may be`);
	}
}

function checkObject({ found, file, limits }: Subject, object: PatchObject): void {
	const place = placeOf(object);
	if (!object.terminated) found.add("no-terminator", place, "its array of functions has no empty element at its end");
	if (object.funcs === undefined) {
		if (object.filledBy === undefined)
			found.add("no-funcs", place, "klp_object.funcs is NULL; the kernel says nothing");
		return;
	}
	const seen = new Set<string>();
	for (const func of object.funcs) {
		checkFunc({ found, limits }, object, func);
		const name = funcName(func);
		if (seen.has(name) && func.oldName.kind === "text") {
			const path = `/kernel/livepatch/${file.name}/${objectName(object.name)}/${name}`;
			const dmesg = `sysfs: cannot create duplicate filename '${path}'`;
			found.add("func-twice", placeOf(object, func), `'${name}' is patched twice`, dmesg);
		}
		seen.add(name);
	}
}

/** klp_init_func(). */
function checkFunc({ found, limits }: Pick<Subject, "found" | "limits">, object: PatchObject, func: PatchFunc): void {
	const place = placeOf(object, func);
	const isLong = (name: Name): boolean => name.kind === "text" && name.text.length >= limits.symbolName;
	if (func.oldName.kind === "unreadable") found.add("name-no-text", place, "old_name is no text");
	if (isLong(func.oldName)) found.add("func-name-long", place, "old_name is too long; the kernel says nothing");
	if (object.filledBy !== undefined) return;
	if (func.oldName.kind === "unset") found.add("func-no-name", place, "old_name is NULL; the kernel says nothing");
	if (func.newFunc.kind === "null") found.add("func-no-new", place, "new_func is NULL; the kernel says nothing");
}
