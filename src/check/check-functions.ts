import { type CallGraph, type Code, codeAt, symbolName } from "./code.js";
import type { KernelCode, KernelObject, KernelSymbol } from "./kernel.js";
import { COLD_PIECE, type Pointer } from "./module-file.js";
import type { PatchFunc, PatchObject } from "./patch.js";
import { sleepOf, type WayToSleep } from "./sleeping.js";
import { functionsOf, objectName, placeOf, type Subject } from "./subject.js";
import { findSymbol, hexAddress } from "./symbol-lookup.js";
import type { Place } from "./types.js";

/** Functions that never come back because the machine ends there: it does not matter what a stack check sees. */
const ENDS =
	/^(__stack_chk_fail|panic|nmi_panic|__?fortify_panic|__ubsan_handle_\w+|machine_\w+|kernel_halt|emergency_restart)$/;

/** The functions that the livepatch replaces, and their replacements. */
export function checkFunctions(subject: Subject, graph: CallGraph): void {
	const addresses = new Map<string, string>();
	for (const { object, func } of functionsOf(subject)) {
		checkReplacement(subject, graph, object, func);
		const found = checkOldFunction(subject, object, func);
		if (found === undefined) continue;
		const { from, symbol } = found;
		checkSameAddress(subject, object, func, symbol, addresses);
		checkClones(subject, object, func, from, symbol);
		checkSourceFile(subject, object, func, from, symbol);
		if (from.code === undefined) {
			subject.found.notLookedAt(
				`call sites and code of ${from.name}: ${from.from} has symbols only; give --against vmlinux`,
			);
		} else {
			checkOldCode(subject, placeOf(object, func), from, from.code, symbol);
			if (from.code.isCut) subject.found.notLookedAt(`code of ${from.name}: there is more of it than is searched`);
		}
	}
}

/** klp_init_object_loaded(), for one function. */
function checkOldFunction(
	{ kernel, found }: Subject,
	object: PatchObject,
	func: PatchFunc,
): { from: KernelObject; symbol: KernelSymbol } | undefined {
	if (func.oldName.kind !== "text") return undefined;
	const name = func.oldName.text;
	const place = placeOf(object, func);
	const owner = objectName(object.name);
	if (COLD_PIECE.test(name)) {
		const dmesg = `livepatch: failed to find location for function '${name}'`;
		found.add("no-call-site", place, `'${name}' is the cold piece of a function`, dmesg);
		return undefined;
	}
	const answer = findSymbol(kernel, owner, name, func.sympos);
	if (answer.kind === "unknown") found.notLookedAt(answer.why);
	else if (answer.kind === "refused") found.add(`symbol-${answer.fault}`, place, answer.what, answer.dmesg);
	else return { from: kernel.objects.get(owner)!, symbol: answer.symbol };
	return undefined;
}

function checkSameAddress(
	{ found }: Subject,
	object: PatchObject,
	func: PatchFunc,
	symbol: KernelSymbol,
	addresses: Map<string, string>,
): void {
	const key = `${objectName(object.name)}:${symbol.section}:${symbol.address}`;
	const other = addresses.get(key);
	if (other !== undefined && other !== symbol.name) {
		found.add(
			"same-address",
			placeOf(object, func),
			`'${symbol.name}' and '${other}' are both at ${hexAddress(symbol)}`,
		);
	}
	addresses.set(key, symbol.name);
}

/** `foo.part.0`, `foo.isra.0`, `foo.constprop.0`: copies of foo, or parts of it, with callers of their own. */
function checkClones(
	subject: Subject,
	object: PatchObject,
	func: PatchFunc,
	from: KernelObject,
	symbol: KernelSymbol,
): void {
	const patched = new Set(object.funcs?.map(({ oldName }) => (oldName.kind === "text" ? oldName.text : "")));
	const isOnly = from.positions(symbol.name).length === 1;
	for (const clone of from.clones(symbol.name)) {
		if (!/^[^.]+(\.(part|isra|constprop)\.\d+)+$/.test(clone.name) || patched.has(clone.name)) continue;
		// Of several functions of a name, the clone may be another one's.
		if (clone.file !== symbol.file && !(isOnly && (clone.file === undefined || symbol.file === undefined))) continue;
		if (!isOnly && symbol.file === undefined) continue;
		subject.found.add(
			"clone-left",
			placeOf(object, func),
			`${from.name} has '${clone.name}' too, and it is not patched`,
		);
	}
}

/** The replacement's source file is the file of another function of the same name. */
function checkSourceFile(
	{ file, found }: Subject,
	object: PatchObject,
	func: PatchFunc,
	from: KernelObject,
	symbol: KernelSymbol,
): void {
	if (func.newFunc.kind !== "here" || symbol.file === undefined) return;
	const own = file.sourceOf(func.newFunc);
	const others = from.positions(symbol.name);
	const better = others.findIndex((other) => other !== symbol && other.file === own);
	if (own === undefined || own === symbol.file || better < 0) return;
	const what = `position ${others.indexOf(symbol) + 1} is of ${symbol.file}, the replacement is of ${own}, which has position ${better + 1}`;
	found.add("position-other-file", placeOf(object, func), what);
}

/** The old function's code: its call site, and what the stack check does not see of it. */
function checkOldCode(
	{ found }: Subject,
	place: Place,
	from: KernelObject,
	code: KernelCode,
	symbol: KernelSymbol,
): void {
	found.lookedAt(`call sites and code of ${from.name} in ${from.from}`);
	const { name } = symbol;
	if (code.hasCallSite(symbol) === false) {
		const dmesg = `livepatch: failed to find location for function '${name}'`;
		found.add("no-call-site", place, `ftrace has no call site in '${name}'`, dmesg);
		return;
	}
	const own = sleepOf(name);
	const way = own === undefined ? code.wayToSleep(symbol) : { sleep: own, through: [] };
	if (way !== undefined) found.add("holds-up", place, `the old function ${sleepText(way)}`);
	const last = code.lastCall(symbol);
	if (last !== undefined && !ENDS.test(last)) {
		found.add("noreturn-end", place, `the old function ends in a call of ${last}()`);
	}
	for (const piece of from.clones(name.split(".")[0]!)) {
		if (COLD_PIECE.exec(piece.name)?.[1] !== name) continue;
		const asleep = code.wayToSleep(piece);
		if (asleep !== undefined) found.add("cold-sleeps", place, `${piece.name} ${sleepText(asleep)}`);
		else found.add("cold-piece", place, `${piece.name} is no part of it for the stack check`);
	}
}

/** new_func: where it points to, and the code there. */
function checkReplacement(subject: Subject, graph: CallGraph, object: PatchObject, func: PatchFunc): void {
	const { file, found } = subject;
	const place = placeOf(object, func);
	const code = pointedCode(subject, place, "new_func", func.newFunc);
	if (code === undefined) return;
	checkNewCode(subject, graph, place, code);
	const oldName = func.oldName.kind === "text" ? func.oldName.text : undefined;
	const itself = graph.branches(code).find(({ to }) => to.kind === "elsewhere" && symbolName(to.symbol) === oldName);
	if (itself !== undefined) found.add("new-func-itself", place, `${code.name} calls '${oldName}'`);
	for (const symbol of file.coldPiecesOf(code.name)) {
		const piece = codeAt(file, { section: symbol.section, offset: symbol.value });
		const way = piece === undefined ? undefined : graph.wayToSleep(piece);
		if (way === undefined) found.add("cold-piece", place, `${symbol.name} is no part of it for the stack check`);
		else found.add("cold-sleeps", place, `${symbol.name} ${sleepText(way)}`);
	}
}

/** The function that a pointer names; undefined, with a finding, if it is none. */
export function pointedCode({ file, found }: Subject, place: Place, field: string, pointer: Pointer): Code | undefined {
	if (pointer.kind !== "here") return undefined;
	const where = file.describe(pointer);
	if (file.isInit(pointer)) {
		found.add("new-func-init", place, `${field} is ${where} in ${file.section(pointer)?.name}`);
	}
	if (!file.isCode(pointer)) {
		found.add("new-func-not-code", place, `${field} is ${where} in ${file.section(pointer)?.name}`);
		return undefined;
	}
	const code = codeAt(file, pointer);
	if (code === undefined || code.offset !== pointer.offset) {
		found.add("new-func-middle", place, `${field} is ${where}`);
		return undefined;
	}
	return code;
}

function checkNewCode({ found }: Subject, graph: CallGraph, place: Place, code: Code): void {
	const way = graph.wayToSleep(code);
	if (way !== undefined) found.add("holds-up", place, `${code.name} ${sleepText(way)}`);
	const last = graph.lastCall(code);
	const name = last === undefined ? undefined : graph.nameOf(last);
	if (name !== undefined && !ENDS.test(symbolName(name))) {
		found.add("noreturn-end", place, `${code.name} ends in a call of ${symbolName(name)}()`);
	}
	if (graph.isCut) found.notLookedAt("code: there is more of it than is searched");
}

/** `calls a() -> schedule(): sleeps until an event` */
function sleepText({ sleep, through }: WayToSleep): string {
	const calls = through.length === 0 ? "" : `calls ${through.map((name) => `${name}()`).join(" -> ")}: `;
	return `${calls}sleeps ${sleep}`;
}
