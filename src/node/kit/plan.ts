import { basename } from "node:path";
import { KlpemuError } from "../../base/index.js";
import { findDesign } from "../../designs/index.js";
import type { ElfObject } from "../../elf/index.js";
import {
	findSource,
	type LivepatchSpec,
	livepatchesUnder,
	loadObjects,
	type Scenario,
	type SourceRef,
	type Step,
	whereOf,
} from "../../scenario/index.js";
import { nodeHost } from "../host.js";
import { klpFuncsOf, type TableFunc } from "./klp-tables.js";

/** The module that has the functions of the scenario's vmlinux: a running kernel takes no further functions. */
export const TARGET = "klp_target";
/** The module of the harness. */
const HARNESS = "klpkit";
/** What a real vmlinux has already: it stays out of the target, and what a livepatch changes of it is changed in the real vmlinux. */
const REAL_VMLINUX = /(^|\/)asm\/vmlinux\/kernel\.c$/;

/** A source file of a module. */
export interface KitSource {
	readonly ref: SourceRef;
	/** Absolute. */
	readonly path: string;
	readonly object: ElfObject;
}

/** A module that the kit builds. */
export interface KitModule {
	readonly name: string;
	readonly sources: readonly KitSource[];
	/** Functions and variables that other modules of the kit use. */
	readonly exports: readonly string[];
	/** What the scenario says of it; undefined: it is no livepatch, or a livepatch in C that enables itself. */
	readonly patch: LivepatchSpec | undefined;
	readonly livepatch: boolean;
}

/** A function that the state is recorded for: `funcA` of `klp_target`. */
export interface KitFunction {
	readonly object: string;
	readonly name: string;
}

/** Everything that the kit is written from. */
export interface KitPlan {
	readonly scenario: Scenario;
	readonly design: string;
	readonly target: KitModule;
	readonly modules: readonly KitModule[];
	readonly livepatches: readonly KitModule[];
	readonly watched: readonly KitFunction[];
	/** Patched functions that the state is not recorded for. */
	readonly unwatched: readonly { readonly name: string; readonly why: string }[];
	/** Functions that are the real vmlinux's own. */
	readonly inVmlinux: ReadonlySet<string>;
	/** `vmlinux` of the scenario is the target module, unless the real vmlinux has the function. */
	objectOf(object: string, func: string): string;
	/** The implementations of a function, under all names: a task that sleeps in it is in one of them. */
	bodiesOf(func: string): readonly string[];
	/** Where a task finds a function that it calls. */
	placeOf(func: string): KitFunction;
}

function unsupported(scenario: Scenario, position: SourceRef["position"], message: string, hint: string): KlpemuError {
	return new KlpemuError("KIT_UNSUPPORTED", message, { where: whereOf(scenario.fileName, position), hint });
}

/** Reads what a scenario is made of. Throws `KIT_UNSUPPORTED` for one that no kit can run, and the errors of a scenario. */
export async function planKit(scenario: Scenario, design: string): Promise<KitPlan> {
	if (scenario.selftest !== undefined) {
		const hint = "run the script itself: make -C tools/testing/selftests/livepatch run_tests";
		throw unsupported(scenario, scenario.selftest.position, "a scenario of a selftest script has no kit", hint);
	}
	const specs = fieldsOf(livepatchesUnder(scenario, findDesign(design)), design);
	const host = nodeHost(scenario.fileName);
	const objects = await loadObjects(scenario, host.files, host.loadObject);
	const sourcesOf = async (refs: readonly SourceRef[], elf: readonly ElfObject[]) =>
		Promise.all(
			refs.map(async (ref, i) => kitSource(scenario, ref, await findSource(scenario, host.files, ref), elf[i]!)),
		);
	const vmlinux = await sourcesOf(scenario.vmlinux, objects.vmlinux);
	const target = vmlinux.filter(({ ref }) => !REAL_VMLINUX.test(ref.path));
	const real = vmlinux.filter(({ ref }) => REAL_VMLINUX.test(ref.path));
	const modules = await Promise.all(
		[...scenario.modules.values()].map(async (spec) => {
			const sources = await sourcesOf(spec.sources, objects.modules.get(spec.name)!);
			return { name: spec.name, sources, livepatch: false, patch: undefined };
		}),
	);
	const livepatches = await Promise.all(
		[...specs.values()].map(async (spec) => {
			const sources = await sourcesOf(spec.sources, objects.livepatches.get(spec.name) ?? []);
			checkLivepatch(scenario, spec, sources);
			return { name: spec.name, sources, livepatch: true, patch: spec.objects.length > 0 ? spec : undefined };
		}),
	);
	checkNames(scenario, [...modules, ...livepatches]);
	checkSources(scenario, [{ name: TARGET, sources: target }, ...modules, ...livepatches]);
	const all = [{ name: TARGET, sources: target, livepatch: false, patch: undefined }, ...modules, ...livepatches];
	const [first, ...others] = all.map((module) => ({ ...module, exports: exportsOf(module.sources, all) }));
	const inVmlinux = new Set(real.flatMap(({ object }) => defined(object)));
	const plan = {
		...{ scenario, design, inVmlinux },
		target: first!,
		modules: others.filter((module) => !module.livepatch),
		livepatches: others.filter((module) => module.livepatch),
		...functionsOf(scenario, livepatches, first!, modules, inVmlinux),
	};
	checkLimits(plan);
	return plan;
}

/** The livepatches with the fields only that struct klp_patch and struct klp_func have under the design. */
function fieldsOf(specs: ReadonlyMap<string, LivepatchSpec>, design: string): ReadonlyMap<string, LivepatchSpec> {
	const { fields, funcFields = [] } = findDesign(design);
	const only = (values: LivepatchSpec["fields"], known: readonly { readonly name: string }[]) =>
		Object.fromEntries(Object.entries(values).filter(([key]) => known.some(({ name }) => name === key)));
	const known = [...specs.values()].map((spec) => ({
		...spec,
		fields: only(spec.fields, fields),
		objects: spec.objects.map((object) => ({
			...object,
			funcs: object.funcs.map((func) => ({ ...func, fields: only(func.fields, funcFields) })),
		})),
	}));
	return new Map(known.map((spec) => [spec.name, spec]));
}

function kitSource(scenario: Scenario, ref: SourceRef, path: string, object: ElfObject): KitSource {
	if (!path.endsWith(".c")) {
		const hint = "the kit builds modules from C; klpemu check says what a kernel will make of a .ko";
		throw unsupported(scenario, ref.position, `'${ref.path}' is not C`, hint);
	}
	const relocation = object.symbols.find(({ name, section }) => name.startsWith(".klp.sym.") && section === 0);
	if (relocation !== undefined) {
		const hint = "a livepatch with such relocations is made by klp-build or kpatch-build, not by make modules";
		throw unsupported(scenario, ref.position, `'${ref.path}' has a livepatch relocation (${relocation.name})`, hint);
	}
	return { ref, path, object };
}

function checkLivepatch(scenario: Scenario, spec: LivepatchSpec, sources: readonly KitSource[]): void {
	if (sources.length < 2) return;
	const statics = sources.flatMap(({ object }) => object.symbols.filter(({ binding }) => binding === "local"));
	for (const { new_func, position } of spec.objects.flatMap(({ funcs }) => funcs)) {
		if (!statics.some(({ name }) => name === new_func)) continue;
		const hint =
			"leave out `static`, or put the livepatch into one file: the kit's struct klp_func names it from another file";
		throw unsupported(scenario, position, `'${new_func}' is static, and '${spec.name}' has several sources`, hint);
	}
}

function checkNames(scenario: Scenario, modules: readonly { readonly name: string }[]): void {
	for (const { name } of modules) {
		if (name !== TARGET && name !== HARNESS) continue;
		const hint = "give it another name";
		throw unsupported(scenario, { line: 1, column: 1 }, `the kit has a module '${name}' of its own`, hint);
	}
}

/** Sources of a module are in one folder of the kit. */
function checkSources(
	scenario: Scenario,
	modules: readonly { readonly name: string; readonly sources: readonly KitSource[] }[],
): void {
	for (const { sources } of modules) {
		for (const [index, { ref, path }] of sources.entries()) {
			const before = sources.slice(0, index).find((other) => basename(other.path) === basename(path));
			if (before === undefined) continue;
			const message = `'${before.ref.path}' and '${ref.path}' have one name, and belong to one module`;
			throw unsupported(
				scenario,
				ref.position,
				message,
				"rename one: the kit has all sources of a module in one folder",
			);
		}
	}
}

/** What the harness has room for (asm/kit/harness.h, klpkit.h). */
export const KIT_LIMITS = { MAX_TASKS: 64, MAX_FUNCS: 64, MAX_OPS: 16, KLPKIT_NAME: 32, FUNC_NAME: 64 } as const;

/** Throws `KIT_UNSUPPORTED` for more than the harness has room for. */
function checkLimits({ scenario, watched, bodiesOf }: KitPlan): void {
	const refuse = (what: string, limit: number) => {
		throw unsupported(scenario, { line: 1, column: 1 }, `${what}; a kit has at most ${limit}`, "divide the scenario");
	};
	const steps = scenario.steps.flatMap((step) => (step.kind === "race" ? (step.actors.flat() as Step[]) : [step]));
	const tasks = [...scenario.tasks.values(), ...steps.flatMap((step) => (step.kind === "fork" ? [step.child] : []))];
	const { MAX_TASKS, MAX_FUNCS, MAX_OPS, KLPKIT_NAME, FUNC_NAME } = KIT_LIMITS;
	if (tasks.length > MAX_TASKS) refuse(`the scenario has ${tasks.length} tasks`, MAX_TASKS);
	if (scenario.ops.size > MAX_OPS) refuse(`the scenario has ${scenario.ops.size} ftrace_ops`, MAX_OPS);
	if (watched.length > MAX_FUNCS) refuse(`${watched.length} functions are patched`, MAX_FUNCS);
	for (const { name, calls, sleeps_in } of tasks) {
		if (calls.length > MAX_FUNCS) refuse(`'${name}' calls ${calls.length} functions`, MAX_FUNCS);
		const bodies = sleeps_in === undefined ? [] : bodiesOf(sleeps_in);
		if (bodies.length > MAX_FUNCS) refuse(`'${sleeps_in}' has ${bodies.length} implementations`, MAX_FUNCS);
	}
	for (const { name, funcs } of scenario.ops.values())
		if (funcs.length > MAX_FUNCS) refuse(`'${name}' is attached to ${funcs.length} functions`, MAX_FUNCS);
	const long = [...tasks, ...scenario.ops.values()].find(({ name }) => name.length >= KLPKIT_NAME);
	if (long !== undefined) refuse(`the name '${long.name}' has ${long.name.length} characters`, KLPKIT_NAME - 1);
	const func = scenario.functions.find(({ name }) => name.length >= FUNC_NAME);
	if (func !== undefined) refuse(`the name '${func.name}' has ${func.name.length} characters`, FUNC_NAME - 1);
}

function defined(object: ElfObject): string[] {
	return object.symbols.filter(({ section, type }) => section !== 0 && type === "func").map(({ name }) => name);
}

/** Global symbols of these sources that another module leaves undefined. */
function exportsOf(
	sources: readonly KitSource[],
	all: readonly { readonly sources: readonly KitSource[] }[],
): string[] {
	const others = all.filter((module) => module.sources !== sources).flatMap((module) => module.sources);
	const wanted = new Set(
		others.flatMap(({ object }) => object.symbols.filter((one) => one.section === 0).map((one) => one.name)),
	);
	const own = sources.flatMap(({ object }) =>
		object.symbols.filter((one) => one.section !== 0 && one.binding === "global"),
	);
	return own.map(({ name }) => name).filter((name) => wanted.has(name));
}

/** What livepatches patch, as the scenario says it, and as the tables of those in C do. */
function patchedBy(livepatches: readonly Pick<KitModule, "sources" | "patch">[]): (TableFunc & { sympos: number })[] {
	return livepatches.flatMap(({ sources, patch }) => {
		if (patch !== undefined) {
			return patch.objects.flatMap(({ name, funcs }) => funcs.map((func) => ({ ...func, object: name })));
		}
		return sources.flatMap((source) => klpFuncsOf(source.object)).map((func) => ({ ...func, sympos: 0 }));
	});
}

function functionsOf(
	scenario: Scenario,
	livepatches: readonly Pick<KitModule, "sources" | "patch">[],
	target: KitModule,
	modules: readonly { readonly name: string; readonly sources: readonly KitSource[] }[],
	inVmlinux: ReadonlySet<string>,
): Pick<KitPlan, "watched" | "unwatched" | "objectOf" | "bodiesOf" | "placeOf"> {
	const objectOf = (object: string, func: string) =>
		object !== "vmlinux" ? object : inVmlinux.has(func) ? "vmlinux" : TARGET;
	const funcs = patchedBy(livepatches).map((func) => ({ ...func, object: objectOf(func.object, func.old_name) }));
	const expected = scenario.steps.flatMap((step) => (step.kind === "expect" ? [...step.expect.view.keys()] : []));
	const names = new Map(funcs.map(({ object, old_name }) => [`${object}:${old_name}`, { object, name: old_name }]));
	const placeOf = (func: string): KitFunction => {
		const owner = modules.find(({ sources }) => sources.some(({ object }) => defined(object).includes(func)));
		return { object: owner?.name ?? objectOf("vmlinux", func), name: func };
	};
	for (const name of expected) {
		const plain = name.replace(/^\w+:|#\d+$/g, "");
		const place = placeOf(plain);
		names.set(`${place.object}:${plain}`, place);
	}
	const twice = new Set(
		funcs.filter(({ sympos }) => sympos > 0).map(({ object, old_name }) => `${object}:${old_name}`),
	);
	const whyNot = (key: string, { object }: KitFunction) => {
		if (object === "vmlinux") return "it is a function of the real vmlinux, which has no block that tells who it is";
		return twice.has(key) ? "several functions have this name, so that it cannot be looked up" : undefined;
	};
	const found = [...names].map(([key, func]) => ({ func, why: whyNot(key, func) }));
	const watched = found.flatMap(({ func, why }) => (why === undefined ? [func] : []));
	const unwatched = found.flatMap(({ func, why }) => (why === undefined ? [] : [{ name: func.name, why }]));
	const symbols = target.sources.flatMap(({ object }) => object.symbols.map((symbol) => ({ ...symbol, object })));
	const aliases = (func: string) => {
		const own = symbols.filter(({ name, section }) => name === func && section !== 0);
		const same = symbols.filter((one) =>
			own.some((other) => other.object === one.object && other.section === one.section && other.value === one.value),
		);
		return same.filter(({ type }) => type === "func").map(({ name }) => name);
	};
	const bodiesOf = (func: string) => {
		const all = [func, ...aliases(func)];
		const replaced = funcs.filter(({ old_name }) => all.includes(old_name)).map(({ new_func }) => new_func);
		return [...new Set([...all, ...replaced])];
	};
	return { watched, unwatched, objectOf, bodiesOf, placeOf };
}
