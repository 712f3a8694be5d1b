import { suggest } from "../../base/index.js";
import type { Design } from "../../linux/klp/index.js";
import type { FunctionRef, LivepatchSpec, ModuleSpec, OpsSpec, TaskSpec } from "../types.js";
import { KO_FILE, type RawTaskEntries } from "../values.js";
import type { Path, ScenarioDocument } from "./document.js";

export interface ParseOptions {
	/** The known designs; if they are given, unknown names in the file are errors. */
	readonly designs?: readonly string[];
	/** The designs whose fields livepatches may have; default: those of the registry. */
	readonly registry?: readonly Design[];
}

/** The names that a scenario file has declared so far, and their meaning. */
export class Names {
	readonly document: ScenarioDocument;
	readonly options: ParseOptions;
	readonly cpus: number;
	readonly hasSelftest: boolean;
	readonly livepatches = new Map<string, LivepatchSpec>();
	readonly modules = new Map<string, ModuleSpec>();
	readonly ops = new Map<string, OpsSpec>();
	readonly tasks = new Map<string, TaskSpec>();
	/** Key of the file -> names of its tasks. */
	readonly groups = new Map<string, readonly string[]>();
	/** Tasks that an `exit` step has ended. */
	readonly exited = new Set<string>();
	readonly functions: FunctionRef[] = [];

	constructor(document: ScenarioDocument, options: ParseOptions, cpus: number, hasSelftest: boolean) {
		this.document = document;
		this.options = options;
		this.cpus = cpus;
		this.hasSelftest = hasSelftest;
	}

	checkDesign(name: string, path: Path, at: "key" | "value" = "value"): void {
		const { designs } = this.options;
		if (designs === undefined || designs.includes(name)) return;
		const hint = suggest(name, "designs", designs);
		throw this.document.error("SCENARIO_UNKNOWN_DESIGN", path, `unknown design '${name}'`, hint, at);
	}

	/**
	 * Declares a module by its .ko, and returns its name. Whether it is a livepatch is known when it has been read: until then it is taken
	 * for one. Throws `SCENARIO_BAD_VALUE`, `SCENARIO_DUPLICATE`.
	 */
	koFile(file: string, path: Path): string {
		const { document } = this;
		// As kbuild names modules.
		const name = file.replace(/^.*\//, "").replace(KO_FILE, "").replaceAll("-", "_");
		if (!/^[A-Za-z_]\w{0,54}$/.test(name)) {
			const message = `'${file}' cannot be the module '${name}'`;
			throw document.error("SCENARIO_BAD_VALUE", path, message, "a .ko bears the name of its module");
		}
		const known = this.livepatches.get(name) ?? this.modules.get(name);
		if (known !== undefined && (known.sources.length !== 1 || known.sources[0]!.path !== file)) {
			const hint = `write insmod: ${name} for that one`;
			throw document.error("SCENARIO_DUPLICATE", path, `there already is another module '${name}'`, hint);
		}
		if (known !== undefined) return name;
		const position = document.position(path);
		const sources = [{ path: file, position }];
		this.livepatches.set(name, { name, sources, fields: {}, designs: new Map(), objects: [], states: [], position });
		return name;
	}

	/** The idle tasks of all CPUs: `swapper/0`, ... */
	get idleTasks(): readonly string[] {
		return Array.from({ length: this.cpus }, (_, id) => `swapper/${id}`);
	}

	/** Adds a function to the list for `checkFunctions`. */
	functionRef(name: string, path: Path, at: "key" | "value" = "value", livepatch?: string): string {
		this.functions.push({ name, livepatch, position: this.document.position(path, at) });
		return name;
	}

	/** Adds one task. Throws `SCENARIO_BAD_VALUE`. */
	task(name: string, group: string, raw: RawTaskEntries, path: Path, at: "key" | "value"): TaskSpec {
		const { document } = this;
		const { calls } = raw;
		if (raw.cpu !== undefined && raw.cpu >= this.cpus) {
			const hint = `cpus is ${this.cpus}, and CPUs are counted from 0`;
			throw document.error("SCENARIO_BAD_VALUE", [...path, "cpu"], `'${name}': there is no CPU ${raw.cpu}`, hint);
		}
		if (raw.sleeps_in !== undefined && calls.length === 0) {
			const hint = `add calls: [${raw.sleeps_in}], or the function that leads there`;
			const message = `'${name}' sleeps in ${raw.sleeps_in} but calls nothing`;
			throw document.error("SCENARIO_BAD_VALUE", [...path, "sleeps_in"], message, hint);
		}
		if (raw.interruptible !== undefined && raw.sleeps_in === undefined) {
			const message = `'${name}' sleeps nowhere, so that nothing is interrupted`;
			throw document.error("SCENARIO_BAD_VALUE", [...path, "interruptible"], message, "add sleeps_in: FUNCTION", "key");
		}
		calls.forEach((func, index) => {
			this.functionRef(func, [...path, "calls", index]);
		});
		raw.exit_calls.forEach((func, index) => {
			this.functionRef(func, [...path, "exit_calls", index]);
		});
		if (raw.exit_calls.length > 0 && raw.kthread) {
			const message = `'${name}' is a kthread, and only user tasks go through do_exit() here`;
			throw document.error("SCENARIO_BAD_VALUE", [...path, "exit_calls"], message, "leave out kthread", "key");
		}
		if (raw.sleeps_in !== undefined) this.functionRef(raw.sleeps_in, [...path, "sleeps_in"]);
		const callPositions = calls.map((_, index) => document.position([...path, "calls", index]));
		const task = { ...raw, name, group, callPositions, position: document.position(path, at) };
		this.tasks.set(name, task);
		this.exited.delete(name);
		return task;
	}
}
