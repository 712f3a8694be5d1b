import { nearestFew, suggest } from "../../base/index.js";
import type { FieldValues } from "../../linux/klp/index.js";
import type { Scenario } from "../scenario.js";
import { definitionOf, type Step } from "../steps/index.js";
import {
	type DesignSection,
	type FuncSpec,
	type ObjectSpec,
	PREEMPTION,
	type SourceRef,
	VERDICTS,
	type Verdict,
} from "../types.js";
import { errnoOf } from "../values.js";
import { fieldValues } from "./design-fields.js";
import type { Path, ScenarioDocument } from "./document.js";
import { Names, type ParseOptions } from "./names.js";
import type { LivepatchKeys, RawLivepatch, RawOps, RawScenario, RawTask } from "./schema.js";
import { readSteps } from "./steps.js";

const MIB = 1 << 20;
/** As many as `count` may say. */
const MAX_TASKS = 1024;
/** Of tasks after steps, in a report. */
const MAX_CELLS = 1_000_000;
/** What a scenario has that does not say so. `memory`: bytes. */
export const DEFAULTS = { design: "mainline", cpus: 2, seed: 1n, hz: 250, memory: 64 * MIB } as const;

/** Turns a valid file into a {@link Scenario}: short forms written out, defaults filled in, names resolved. */
export class Normaliser {
	readonly #keys: LivepatchKeys;
	readonly #document: ScenarioDocument;
	readonly #raw: RawScenario;
	readonly #names: Names;

	/** `keys`: of the schema that `raw` fits. */
	constructor(document: ScenarioDocument, raw: RawScenario, options: ParseOptions, keys: LivepatchKeys) {
		this.#keys = keys;
		this.#document = document;
		this.#raw = raw;
		this.#names = new Names(document, options, raw.cpus ?? DEFAULTS.cpus, raw.selftest !== undefined);
	}

	scenario(): Scenario {
		const document = this.#document;
		const raw = this.#raw;
		const names = this.#names;
		if (raw.design !== undefined) this.#checkDesign(raw.design);
		this.#checkTasks(0);
		for (const name of Object.keys(raw.modules ?? {})) this.#module(name);
		for (const [name, livepatch] of Object.entries(raw.livepatches ?? {})) this.#livepatch(name, livepatch);
		for (const [name, ops] of Object.entries(raw.ftrace_ops ?? {})) this.#ops(name, ops);
		for (const [name, task] of Object.entries(raw.tasks ?? {})) this.#taskGroup(name, task);
		const declared = new Map(this.#names.tasks);
		const steps = readSteps(raw.steps, names);
		this.#checkSize(steps);
		return {
			fileName: document.fileName,
			title: raw.title,
			source: raw.source,
			design: raw.design ?? DEFAULTS.design,
			core: raw.core === undefined ? undefined : { path: raw.core, position: document.position(["core"]) },
			cpu: raw.cpu,
			cpus: names.cpus,
			preemption: raw.preemption ?? PREEMPTION[0],
			seed: BigInt(raw.seed ?? DEFAULTS.seed),
			hz: raw.hz ?? DEFAULTS.hz,
			ibt: raw.ibt ?? false,
			memory: raw.memory === undefined ? DEFAULTS.memory : Number.parseInt(raw.memory, 10) * MIB,
			vmlinux: this.#sources(raw.vmlinux, ["vmlinux"]),
			modules: this.#names.modules,
			livepatches: this.#names.livepatches,
			ops: this.#names.ops,
			tasks: declared,
			selftest:
				raw.selftest === undefined ? undefined : { path: raw.selftest, position: document.position(["selftest"]) },
			steps,
			functions: this.#names.functions,
			expect: this.#verdicts(raw.expect, ["expect"]),
			explore: this.#explored(steps),
		};
	}

	#checkDesign(design: string): void {
		this.#names.checkDesign(design, ["design"]);
		// What runs then is mainline.
		if (this.#raw.core === undefined || design === DEFAULTS.design) return;
		const message = `'core' and 'design: ${design}' exclude each other`;
		const hint =
			"the C of a kernel core has its own rules for replacing livepatches: leave one of the two out. " +
			"Another design is another C: klpemu kernel build --patch";
		throw this.#document.error("SCENARIO_CORE", ["design"], message, hint, "key");
	}

	#checkTasks(forks: number): number {
		const tasks = Object.values(this.#raw.tasks ?? {}).reduce((sum, { count = 1 }) => sum + count, forks);
		if (tasks <= MAX_TASKS) return tasks;
		const message = `a scenario has at most ${MAX_TASKS} tasks, with those that steps fork; this one has ${tasks}`;
		const hint = "tasks that run the same functions behave alike: a few of them show what many do";
		throw this.#document.error("SCENARIO_BAD_VALUE", [forks > 0 ? "steps" : "tasks"], message, hint, "key");
	}

	/** A report has each task after each step, and the judge looks at each task whenever one switches. */
	#checkSize(steps: readonly Step[]): void {
		const all = steps.flatMap((step) => (step.kind === "race" ? step.actors.flat() : [step]));
		const tasks = this.#checkTasks(all.filter(({ kind }) => kind === "fork").length);
		if (tasks * all.length <= MAX_CELLS) return;
		const message = `tasks times steps may be ${MAX_CELLS}; ${tasks} tasks and ${all.length} steps are more`;
		throw this.#document.error("SCENARIO_BAD_VALUE", ["steps"], message, "divide it into several files", "key");
	}

	/** The key `explore`. Its steps are named by their titles, as reports have them. */
	#explored(steps: readonly Step[]): Scenario["explore"] {
		const { expect, may_fail = {} } = this.#raw.explore ?? {};
		const all = steps.flatMap((step) => (step.kind === "race" ? step.actors.flat() : [step]));
		const titles = all.map((step) => definitionOf(step).title(step));
		for (const title of Object.keys(may_fail)) {
			if (titles.includes(title)) continue;
			const hint = `did you mean ${nearestFew(title, titles)
				.map((near) => `'${near}'`)
				.join(", ")}?`;
			const path = ["explore", "may_fail", title];
			throw this.#document.error("SCENARIO_UNKNOWN_STEP", path, `there is no step '${title}'`, hint, "key");
		}
		return {
			expect: expect === undefined ? undefined : this.#verdicts(expect, ["explore", "expect"]),
			mayFail: new Map(Object.entries(may_fail).map(([title, errnos]) => [title, errnos.map(errnoOf)])),
		};
	}

	#taskGroup(group: string, { count = 1, ...raw }: RawTask): void {
		const names = count === 1 ? [group] : Array.from({ length: count }, (_, index) => `${group}/${index}`);
		const before = this.#names.functions.length;
		for (const name of names) {
			// Each function is listed once, although several tasks may call it.
			this.#names.functions.length = before;
			this.#names.task(name, group, raw, ["tasks", group], "key");
		}
		this.#names.groups.set(group, names);
	}

	#sources(paths: readonly string[], path: Path): SourceRef[] {
		return paths.map((source, index) => ({ path: source, position: this.#document.position([...path, index]) }));
	}

	#module(name: string): void {
		const path = ["modules", name];
		if (name === "vmlinux") {
			const hint = "vmlinux has a key of its own, next to modules";
			throw this.#document.error("SCENARIO_DUPLICATE", path, "a module cannot be called vmlinux", hint, "key");
		}
		const { sources } = this.#raw.modules![name]!;
		this.#names.modules.set(name, {
			name,
			sources: this.#sources(sources, [...path, "sources"]),
			position: this.#document.position(path, "key"),
		});
	}

	#livepatch(name: string, raw: RawLivepatch): void {
		const path = ["livepatches", name];
		const document = this.#document;
		if (this.#names.modules.has(name) || name === "vmlinux") {
			const hint = "modules and livepatches share one name space";
			throw document.error("SCENARIO_DUPLICATE", path, `there already is a module '${name}'`, hint, "key");
		}
		if (raw.funcs === undefined && raw.objects === undefined && raw.states !== undefined) {
			const hint = "without funcs its C code calls klp_enable_patch(), and klp_patch.states is there";
			throw document.error(
				"SCENARIO_MISSING_KEY",
				[...path, "states"],
				`'${name}' has states but no funcs`,
				hint,
				"key",
			);
		}
		const objects: ObjectSpec[] = [];
		if (raw.funcs !== undefined) objects.push(this.#object(name, "vmlinux", raw.funcs, [...path, "funcs"]));
		for (const [object, funcs] of Object.entries(raw.objects ?? {})) {
			if (object === "vmlinux" && raw.funcs !== undefined) {
				const hint = "funcs is short for objects: { vmlinux: ... }";
				const at = [...path, "objects", object];
				throw document.error("SCENARIO_DUPLICATE", at, "'funcs' and 'objects.vmlinux' are the same", hint, "key");
			}
			objects.push(this.#object(name, object, funcs, [...path, "objects", object]));
		}
		this.#names.livepatches.set(name, {
			name,
			sources: this.#sources(raw.sources, [...path, "sources"]),
			fields: fieldValues(this.#keys.patch, raw),
			designs: this.#sections(raw, objects, path),
			objects,
			states: raw.states ?? [],
			position: document.position(path, "key"),
		});
	}

	/** The keys of a livepatch for some designs. */
	#sections(raw: RawLivepatch, objects: readonly ObjectSpec[], path: Path): Map<string, DesignSection> {
		const known = objects.flatMap((object) => object.funcs.map((func) => func.old_name));
		const sections = Object.entries(raw.designs ?? {}).map(([design, section]): [string, DesignSection] => {
			const at = [...path, "designs", design];
			this.#names.checkDesign(design, at, "key");
			const funcs = Object.entries(section.funcs ?? {}).map(([func, entry]): [string, FieldValues] => {
				if (!known.includes(func)) {
					const hint = suggest(func, "functions", known);
					const message = `the livepatch does not patch '${func}'`;
					throw this.#document.error("SCENARIO_UNKNOWN_FUNC", [...at, "funcs", func], message, hint, "key");
				}
				return [func, fieldValues(this.#keys.func, entry)];
			});
			return [design, { fields: fieldValues(this.#keys.patch, section), funcs: new Map(funcs) }];
		});
		return new Map(sections);
	}

	#object(livepatch: string, name: string, raw: NonNullable<RawLivepatch["funcs"]>, path: Path): ObjectSpec {
		const funcs = Object.entries(raw).map(([key, entry]): FuncSpec => {
			const [old_name, sympos] = key.split("#");
			const at = [...path, key];
			const new_func = typeof entry === "string" ? entry : entry.new_func;
			this.#names.functionRef(new_func, typeof entry === "string" ? at : [...at, "new_func"], "value", livepatch);
			return {
				old_name: old_name!,
				new_func,
				sympos: sympos === undefined ? 0 : Number(sympos),
				fields: typeof entry === "string" ? {} : fieldValues(this.#keys.func, entry),
				position: this.#document.position(at, "key"),
			};
		});
		return { name, funcs, position: this.#document.position(path, "key") };
	}

	#ops(name: string, raw: RawOps): void {
		const path = ["ftrace_ops", name];
		const kinds = (["func", "ip", "direct"] as const).filter((key) => raw[key] !== undefined);
		const bad = (key: string, message: string, hint: string) =>
			this.#document.error("SCENARIO_BAD_VALUE", [...path, key], message, hint, "key");
		if (kinds.length > 1) throw bad(kinds[1]!, `'${name}' has both ${kinds.join(" and ")}`, "one call-back is enough");
		if (raw.shared !== undefined && raw.direct === undefined) {
			throw bad("shared", `'${name}' has no direct function to take the place of`, "add direct: FUNCTION");
		}
		if (raw.direct !== undefined && raw.flags !== undefined) {
			throw bad("flags", `register_ftrace_direct() sets the flags of '${name}' itself`, "leave them out");
		}
		raw.funcs?.forEach((func, index) => {
			this.#names.functionRef(func, [...path, "funcs", index]);
		});
		for (const key of ["func", "direct", "shared"] as const) {
			if (raw[key] !== undefined) this.#names.functionRef(raw[key], [...path, key]);
		}
		const { func, ip, direct, shared, flags = [], funcs = [] } = raw;
		this.#names.ops.set(name, {
			name,
			funcs,
			flags,
			func,
			ip,
			direct,
			shared,
			position: this.#document.position(path, "key"),
		});
	}

	#verdicts(raw: RawScenario["expect"], path: Path): Scenario["expect"] {
		if (raw === undefined || typeof raw === "string") {
			return { default: raw ?? VERDICTS[0], byDesign: new Map<string, Verdict>() };
		}
		for (const design of Object.keys(raw)) this.#names.checkDesign(design, [...path, design], "key");
		return { default: undefined, byDesign: new Map(Object.entries(raw)) };
	}
}
