import { suggest } from "../../base/index.js";
import type { Expectation, ParamValue, PatchState, Step } from "../types.js";
import type { Path } from "./document.js";
import { errnoOf, type Normaliser } from "./normalise.js";
import type { RawExpect, RawStep } from "./schema.js";

type StepBody = Step extends infer S
	? S extends Step
		? Omit<S, "position" | "errno" | "errnoByDesign">
		: never
	: never;
type RawMap = Exclude<RawStep, string>;
/** The value behind a step's key. */
type Raw<K extends string> =
	Extract<RawMap, { readonly [P in K]: unknown }> extends { readonly [P in K]: infer V } ? V : never;

const LIVEPATCH_DIR = "/sys/kernel/livepatch/";
/** Rounds after which a scenario that should have come to rest has not. */
const ROUNDS_LIMIT = 10_000;

function listOf<T>(value: T | readonly T[] | undefined): readonly T[] {
	return value === undefined ? [] : Array.isArray(value) ? value : [value as T];
}

function fileText(value: number | boolean | string): string {
	return typeof value === "boolean" ? String(Number(value)) : String(value);
}

/** The steps of a scenario, in order: `fork` adds tasks that later steps may name, `exit` ends them. */
export class StepNormaliser {
	readonly #of: Normaliser;
	readonly #exited = new Set<string>();

	constructor(of: Normaliser) {
		this.#of = of;
	}

	steps(): Step[] {
		const steps: Step[] = [];
		for (const [index, raw] of this.#of.raw.steps.entries()) {
			const path = ["steps", index];
			const step = this.#step(raw, path);
			if (step.kind === "expect") this.#expectErrno(step.expect, steps, [...path, "expect", "errno"]);
			steps.push(step);
		}
		return steps;
	}

	#step(raw: RawStep, path: Path): Step {
		const key = typeof raw === "string" ? raw : Object.keys(raw).find((name) => name !== "errno")!;
		const body = this.#body(raw, typeof raw === "string" ? path : [...path, key]);
		return {
			...body,
			position: this.#of.document.position(path),
			errno: this.#errno(raw, path),
			errnoByDesign: new Map(),
		};
	}

	#errno(raw: RawStep, path: Path): number {
		if (typeof raw === "string") return 0;
		const outer = "errno" in raw ? raw.errno : undefined;
		const inner = "echo" in raw ? raw.echo.errno : undefined;
		if (outer !== undefined && inner !== undefined) {
			throw this.#of.document.error("SCENARIO_DUPLICATE", [...path, "errno"], "errno is given twice", undefined, "key");
		}
		const value = outer ?? inner;
		return value === undefined ? 0 : errnoOf(value);
	}

	/** `expect: { errno }` speaks about the step before it, which must know it when it runs. */
	#expectErrno(expect: Expectation, steps: Step[], path: Path): void {
		if (expect.errno === undefined) return;
		const target = steps.findLastIndex((step) => step.kind !== "expect");
		const step = steps[target];
		if (step === undefined) {
			throw this.#of.document.error("SCENARIO_EXPECT", path, "there is no step before this errno", undefined, "key");
		}
		if (expect.designs !== undefined) {
			const more = expect.designs.map((design): [string, number] => [design, expect.errno!]);
			steps[target] = { ...step, errnoByDesign: new Map([...step.errnoByDesign, ...more]) };
		} else if (step.errno !== 0 && step.errno !== expect.errno) {
			const message = `the step before already expects errno ${step.errno}`;
			throw this.#of.document.error("SCENARIO_EXPECT", path, message, "say it once", "key");
		} else steps[target] = { ...step, errno: expect.errno };
	}

	#body(raw: RawStep, path: Path): StepBody {
		if (typeof raw === "string") {
			return raw === "settle" ? { kind: "settle", rounds: ROUNDS_LIMIT } : { kind: raw, livepatch: undefined };
		}
		if ("insmod" in raw) return this.#insmod(raw.insmod, path);
		if ("rmmod" in raw) return { kind: "rmmod", module: this.#module(raw.rmmod, path) };
		if ("settle" in raw) return { kind: "settle", rounds: raw.settle.rounds };
		if ("run" in raw) return this.#run(raw.run, path);
		if ("sleep" in raw) return { kind: "sleep", seconds: raw.sleep };
		if ("disable" in raw) return { kind: "disable", livepatch: this.#livepatch(raw.disable, path) };
		if ("enable" in raw) return { kind: "enable", livepatch: this.#livepatch(raw.enable, path) };
		if ("reverse" in raw) return { kind: "reverse", livepatch: this.#livepatch(raw.reverse, path) };
		if ("force" in raw) return { kind: "force", livepatch: this.#livepatch(raw.force, path) };
		return this.#others(raw, path);
	}

	#others(raw: RawMap, path: Path): StepBody {
		if ("echo" in raw) {
			const file = this.#file(raw.echo.path, [...path, "path"]);
			return { kind: "echo", path: file, value: fileText(raw.echo.value) };
		}
		if ("cat" in raw) return this.#cat(raw.cat, path);
		if ("stat" in raw) {
			return { kind: "stat", path: this.#file(raw.stat.path, [...path, "path"]), rights: raw.stat.rights };
		}
		if ("sysctl" in raw) {
			const [name, value] = raw.sysctl.split("=") as [string, string];
			return { kind: "sysctl", name, value };
		}
		if ("register" in raw) return { kind: "register", ops: this.#ops(raw.register, path) };
		if ("unregister" in raw) return { kind: "unregister", ops: this.#ops(raw.unregister, path) };
		if ("cpu_up" in raw) return { kind: "cpu_up", cpu: raw.cpu_up };
		if ("cpu_down" in raw) return { kind: "cpu_down", cpu: raw.cpu_down };
		if ("wake" in raw) return { kind: "wake", tasks: this.#tasks(raw.wake, path) };
		if ("fork" in raw) return this.#fork(raw.fork, path);
		if ("exit" in raw) {
			const tasks = this.#tasks(raw.exit, path);
			for (const task of tasks) this.#exited.add(task);
			return { kind: "exit", tasks };
		}
		if ("call" in raw) {
			const { task, func, value } = raw.call;
			return {
				kind: "call",
				task: this.#oneTask(task, [...path, "task"]),
				func: this.#of.functionRef(func, [...path, "func"]),
				value: value === undefined ? undefined : BigInt.asUintN(64, BigInt(value)),
			};
		}
		if ("race" in raw) {
			const actors = raw.race.map((list, actor) =>
				list.map((step, index) => this.#step(step, [...path, actor, index])),
			);
			return { kind: "race", actors };
		}
		if ("state" in raw) return { kind: "state", title: raw.state };
		if ("test" in raw) return this.#test(raw.test, path);
		if ("expect" in raw) return { kind: "expect", expect: this.#expectation(raw.expect, path) };
		throw new Error(`a step that the schema knows and this does not: ${Object.keys(raw)[0]}`);
	}

	#ops(name: string, path: Path, at: "key" | "value" = "value"): string {
		const known = [...this.#of.ops.keys()];
		if (known.includes(name)) return name;
		const hint = suggest(name, "ftrace_ops", known);
		throw this.#of.document.error("SCENARIO_UNKNOWN_OPS", path, `unknown ops '${name}'`, hint, at);
	}

	#insmod(raw: Raw<"insmod">, path: Path): StepBody {
		if (typeof raw === "string") return { kind: "insmod", module: this.#module(raw, path), params: new Map() };
		const params = Object.entries(raw.params ?? {}).map(([name, value]): [string, ParamValue] => {
			if (typeof value !== "object") return [name, fileText(value)];
			return [name, { pids: this.#tasks(value.pids, [...path, "params", name, "pids"]) }];
		});
		return { kind: "insmod", module: this.#module(raw.module, [...path, "module"]), params: new Map(params) };
	}

	#run(raw: Raw<"run">, path: Path): StepBody {
		if (typeof raw === "number") return { kind: "run", rounds: raw, tasks: [] };
		if (raw.task === undefined && raw.rounds === undefined) {
			const hint = "run: 50 is 50 rounds, run: { task: NAME } goes on until that task sleeps";
			throw this.#of.document.error("SCENARIO_MISSING_KEY", path, "'run' needs 'task' or 'rounds'", hint, "key");
		}
		return { kind: "run", rounds: raw.rounds ?? ROUNDS_LIMIT, tasks: this.#tasks(raw.task, [...path, "task"]) };
	}

	#cat(raw: Raw<"cat">, path: Path): StepBody {
		if (typeof raw === "string") {
			return { kind: "cat", path: this.#file(raw, path), value: undefined, grep: undefined, to: undefined };
		}
		const value = raw.value === undefined ? undefined : fileText(raw.value);
		const to = raw.to === undefined ? undefined : this.#file(raw.to, [...path, "to"]);
		return { kind: "cat", path: this.#file(raw.path, [...path, "path"]), value, grep: raw.grep, to };
	}

	#test(title: string, path: Path): StepBody {
		if (this.#of.raw.selftest === undefined) {
			const hint = "add selftest: FILE, the transcript that it is compared with";
			throw this.#of.document.error("SCENARIO_MISSING_KEY", path, "'test' needs the key 'selftest'", hint, "key");
		}
		return { kind: "test", title };
	}

	#fork(raw: Raw<"fork">, path: Path): StepBody {
		const { parent, child, ...task } = raw;
		const parentName = this.#oneTask(parent, [...path, "parent"]);
		if (this.#of.groups.has(child)) {
			const hint = "choose another name";
			const at = [...path, "child"];
			throw this.#of.document.error("SCENARIO_DUPLICATE", at, `there already are tasks '${child}'`, hint);
		}
		const spec = this.#of.task(child, child, task, path, "value");
		this.#of.groups.set(child, [child]);
		return { kind: "fork", parent: parentName, child: spec };
	}

	#expectation(raw: RawExpect, path: Path): Expectation {
		const aboutTask = (["patch_state", "pending", "in", "view"] as const).filter((key) => raw[key] !== undefined);
		if (raw.task === undefined && aboutTask.length > 0) {
			const message = `'${aboutTask[0]}' is about a task, but no 'task' is named`;
			throw this.#of.document.error("SCENARIO_EXPECT", path, message, "add task: NAME", "key");
		}
		if (raw.task !== undefined && aboutTask.length === 0) {
			const hint = "add one of: patch_state, pending, in, view";
			throw this.#of.document.error("SCENARIO_EXPECT", path, "nothing is expected of the task", hint, "key");
		}
		if (Object.keys(raw).every((key) => key === "design")) {
			const hint = "add one of: errno, dmesg, task, sysfs, func_stacks, calls, trace";
			throw this.#of.document.error("SCENARIO_EXPECT", path, "an empty expectation", hint, "key");
		}
		const designs = raw.design === undefined ? undefined : listOf<string>(raw.design);
		designs?.forEach((name, index) => {
			this.#of.checkDesign(name, typeof raw.design === "string" ? [...path, "design"] : [...path, "design", index]);
		});
		for (const key of ["view", "func_stacks"] as const) {
			for (const func of Object.keys(raw[key] ?? {}))
				this.#of.functionRef(func.replace(/^\w+:|#\d+$/g, ""), [...path, key, func], "key");
		}
		return {
			tasks: this.#tasks(raw.task, [...path, "task"], this.#of.idleTasks),
			patch_state: raw.patch_state === undefined ? undefined : patchState(raw.patch_state),
			pending: raw.pending === undefined ? undefined : Boolean(raw.pending),
			in: raw.in,
			view: new Map(Object.entries(raw.view ?? {})),
			sysfs: this.#sysfs(raw.sysfs ?? {}, [...path, "sysfs"]),
			func_stacks: new Map(Object.entries(raw.func_stacks ?? {})),
			calls: this.#opsCalls(raw.calls ?? {}, [...path, "calls"]),
			trace: raw.trace,
			dmesg: raw.dmesg,
			errno: raw.errno === undefined ? undefined : errnoOf(raw.errno),
			designs,
		};
	}

	#opsCalls(raw: NonNullable<RawExpect["calls"]>, path: Path): Map<string, number> {
		for (const name of Object.keys(raw)) {
			const at = [...path, name];
			this.#ops(name, at, "key");
			if (this.#of.ops.get(name)!.func === undefined && this.#of.ops.get(name)!.direct === undefined) continue;
			const message = `calls of '${name}' are made in the guest, where nobody counts them`;
			throw this.#of.document.error("SCENARIO_EXPECT", at, message, "look at what its function leaves behind", "key");
		}
		return new Map(Object.entries(raw));
	}

	#sysfs(raw: NonNullable<RawExpect["sysfs"]>, path: Path): Map<string, string | null> {
		return new Map(
			Object.entries(raw).map(([file, value]): [string, string | null] => {
				const full = this.#file(file, [...path, file], "key");
				if (!full.startsWith(LIVEPATCH_DIR)) {
					const hint = "paths here are relative to that folder, for example lp1/enabled";
					const at = [...path, file];
					throw this.#of.document.error("SCENARIO_BAD_VALUE", at, `'${file}' is not in ${LIVEPATCH_DIR}`, hint, "key");
				}
				return [full.slice(LIVEPATCH_DIR.length), value === null ? null : fileText(value)];
			}),
		);
	}

	/** `lp1/enabled` -> absolute. Which files there are is the machine's business; which livepatches, ours. */
	#file(file: string, path: Path, at: "key" | "value" = "value"): string {
		const full = file.startsWith("/") ? file : LIVEPATCH_DIR + file;
		if (full.startsWith(LIVEPATCH_DIR)) this.#livepatch(full.slice(LIVEPATCH_DIR.length).split("/")[0]!, path, at);
		return full;
	}

	#livepatch(name: string, path: Path, at: "key" | "value" = "value"): string {
		const known = [...this.#of.livepatches.keys()];
		if (known.includes(name)) return name;
		const hint = suggest(name, "livepatches", known);
		throw this.#of.document.error("SCENARIO_UNKNOWN_LIVEPATCH", path, `unknown livepatch '${name}'`, hint, at);
	}

	#module(name: string, path: Path): string {
		const known = [...this.#of.livepatches.keys(), ...this.#of.modules.keys()];
		if (known.includes(name)) return name;
		const hint = suggest(name, "livepatches and modules", known);
		throw this.#of.document.error("SCENARIO_UNKNOWN_MODULE", path, `unknown livepatch or module '${name}'`, hint);
	}

	/** Task names, groups resolved; `more`: names that are tasks here, though the file does not declare them. */
	#tasks(raw: string | readonly string[] | undefined, path: Path, more: readonly string[] = []): readonly string[] {
		const names = listOf<string>(raw).flatMap((name, index) => {
			const at = typeof raw === "string" ? path : [...path, index];
			const single = this.#of.tasks.has(name) || more.includes(name);
			const tasks = this.#of.groups.get(name) ?? (single ? [name] : undefined);
			const alive = tasks?.filter((task) => !this.#exited.has(task));
			if (alive !== undefined && alive.length > 0) return alive;
			const known = [...new Set([...this.#of.groups.keys(), ...this.#of.tasks.keys()])];
			const present = known.filter((task) => !this.#exited.has(task));
			const message = tasks === undefined ? `unknown task '${name}'` : `the task '${name}' has exited`;
			throw this.#of.document.error("SCENARIO_UNKNOWN_TASK", at, message, suggest(name, "tasks", present));
		});
		return [...new Set(names)];
	}

	#oneTask(name: string, path: Path): string {
		const tasks = this.#tasks(name, path);
		if (tasks.length === 1) return tasks[0]!;
		const hint = `name one of them: ${tasks.join(", ")}`;
		throw this.#of.document.error("SCENARIO_UNKNOWN_TASK", path, `'${name}' are ${tasks.length} tasks`, hint);
	}
}

function patchState(value: PatchState | number): PatchState {
	return typeof value === "string" ? value : value < 0 ? "IDLE" : value === 0 ? "UNPATCHED" : "PATCHED";
}
