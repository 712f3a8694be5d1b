import { type KlpemuError, nearestFew, suggest } from "../../base/index.js";
import type { Place } from "../steps/index.js";
import type { OpsSpec, Position, TaskSpec } from "../types.js";
import { KO_FILE, listOf, type RawTaskEntries } from "../values.js";
import type { Path } from "./document.js";
import { possibleFiles } from "./livepatch-files.js";
import type { Names } from "./names.js";

const LIVEPATCH_DIR = "/sys/kernel/livepatch/";

/** A place of a scenario file. */
export class DocumentPlace implements Place {
	readonly #names: Names;
	readonly #path: Path;
	readonly #side: "key" | "value";

	constructor(names: Names, path: Path, side: "key" | "value" = "value") {
		this.#names = names;
		this.#path = path;
		this.#side = side;
	}

	get position(): Position {
		return this.#names.document.position(this.#path, this.#side);
	}

	get hasSelftest(): boolean {
		return this.#names.hasSelftest;
	}

	get idleTasks(): readonly string[] {
		return this.#names.idleTasks;
	}

	at(...path: Path): Place {
		return new DocumentPlace(this.#names, [...this.#path, ...path]);
	}

	key(...path: Path): Place {
		return new DocumentPlace(this.#names, [...this.#path, ...path], "key");
	}

	error(code: string, message: string, hint?: string): KlpemuError {
		return this.#names.document.error(code, this.#path, message, hint, this.#side);
	}

	module(name: string): string {
		const { livepatches, modules } = this.#names;
		const known = [...livepatches.keys(), ...modules.keys()];
		if (known.includes(name)) return name;
		const hint = suggest(name, "livepatches and modules", known);
		throw this.error("SCENARIO_UNKNOWN_MODULE", `unknown livepatch or module '${name}'`, hint);
	}

	insmod(nameOrFile: string): string {
		return KO_FILE.test(nameOrFile) ? this.#names.koFile(nameOrFile, this.#path) : this.module(nameOrFile);
	}

	livepatch(name: string): string {
		const known = [...this.#names.livepatches.keys()];
		if (known.includes(name)) return name;
		throw this.error("SCENARIO_UNKNOWN_LIVEPATCH", `unknown livepatch '${name}'`, suggest(name, "livepatches", known));
	}

	ops(name: string): OpsSpec {
		const ops = this.#names.ops.get(name);
		if (ops !== undefined) return ops;
		const hint = suggest(name, "ftrace_ops", [...this.#names.ops.keys()]);
		throw this.error("SCENARIO_UNKNOWN_OPS", `unknown ops '${name}'`, hint);
	}

	design(name: string): string {
		this.#names.checkDesign(name, this.#path, this.#side);
		return name;
	}

	func(name: string): string {
		return this.#names.functionRef(name, this.#path, this.#side);
	}

	/** The machine checks if a file exists; the scenario, if a livepatch exists. */
	file(path: string): string {
		const full = path.startsWith("/") ? path : LIVEPATCH_DIR + path;
		if (full.startsWith(LIVEPATCH_DIR)) this.livepatch(full.slice(LIVEPATCH_DIR.length).split("/")[0]!);
		return full;
	}

	/**
	 * A path below /sys/kernel/livepatch that an expectation says is not there. It must be one that could be there, otherwise a misspelt
	 * name would always be as expected.
	 */
	absent(path: string): void {
		const possible = possibleFiles(this.#names, path);
		if (possible === undefined || possible.includes(path)) return;
		const few = nearestFew(path, possible).map((name) => `'${name}'`);
		const message = `'${path}' can never exist, so that it says nothing that it does not`;
		throw this.error("SCENARIO_UNKNOWN_FILE", message, `did you mean ${few.join(", ")}?`);
	}

	tasks(raw: string | readonly string[] | undefined, more: readonly string[] = []): readonly string[] {
		const names = listOf<string>(raw).flatMap((name, index) => {
			const at = typeof raw === "string" ? this : this.at(index);
			const { tasks, groups, exited } = this.#names;
			const single = tasks.has(name) || more.includes(name);
			const all = groups.get(name) ?? (single ? [name] : undefined);
			const alive = all?.filter((task) => !exited.has(task));
			if (alive !== undefined && alive.length > 0) return alive;
			const known = [...new Set([...groups.keys(), ...tasks.keys()])];
			const present = known.filter((task) => !exited.has(task));
			const message = all === undefined ? `unknown task '${name}'` : `the task '${name}' has exited`;
			throw at.error("SCENARIO_UNKNOWN_TASK", message, suggest(name, "tasks", present));
		});
		return [...new Set(names)];
	}

	oneTask(name: string): string {
		const [task, ...more] = this.tasks(name);
		if (task !== undefined && more.length === 0) return task;
		const hint = `name one of them: ${[task, ...more].join(", ")}`;
		throw this.error("SCENARIO_UNKNOWN_TASK", `'${name}' names ${more.length + 1} tasks, exactly one is needed`, hint);
	}

	newTask(name: string, raw: RawTaskEntries): TaskSpec {
		const { groups, exited } = this.#names;
		if (groups.get(name)?.some((task) => !exited.has(task))) {
			const message = `there already are tasks '${name}'`;
			throw this.at("child").error("SCENARIO_DUPLICATE", message, "choose another name");
		}
		const task = this.#names.task(name, name, raw, this.#path, this.#side);
		groups.set(name, [name]);
		return task;
	}

	exited(tasks: readonly string[]): void {
		for (const task of tasks) this.#names.exited.add(task);
	}
}
