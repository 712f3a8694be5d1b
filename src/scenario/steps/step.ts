/** The definition of steps: each step of the list in index.ts is one complete {@link StepDefinition}. */
import * as v from "valibot";
import type { KlpemuError } from "../../base/index.js";
import type { ElfObject } from "../../elf/index.js";
import type { Kernel, Wait } from "../../linux/lib/index.js";
import type { Machine } from "../../machine/index.js";
import type { Found } from "../expectation.js";
import type { ScenarioOps } from "../ops.js";
import type { ScenarioTasks } from "../tasks.js";
import type { LivepatchSpec, OpsSpec, Position, TaskSpec } from "../types.js";
import { designName, errno, errnoOf, expected, type RawTaskEntries } from "../values.js";
import type { nameInReports } from "../watched.js";

/** The members of every step of a scenario, besides its value. */
export interface StepBase {
	readonly kind: string;
	readonly position: Position;
	/** The result that the scenario expects: 0, or the negative errno of this step's `errno` key or of the `expect` after it. */
	readonly errno: number;
	/** Results for single designs, from this key or from `expect` steps after it. See `expectedErrno`. */
	readonly errnoByDesign: ReadonlyMap<string, number>;
}

/**
 * A place of the file, and the names that the file has declared so far. The methods check the value at this place, and
 * throw a KlpemuError with the place.
 */
export interface Place {
	readonly position: Position;
	/** The file has a transcript of a selftest script. */
	readonly hasSelftest: boolean;
	/** The idle tasks of all CPUs: `swapper/0`, ... */
	readonly idleTasks: readonly string[];
	/** The place of a part of this value; `key`: of the key that leads to it. */
	at(...path: readonly (string | number)[]): Place;
	key(...path: readonly (string | number)[]): Place;
	error(code: string, message: string, hint?: string): KlpemuError;
	/** A livepatch or a module. */
	module(name: string): string;
	/** The same for a module that is loaded: the path of a .ko declares it. */
	insmod(nameOrFile: string): string;
	livepatch(name: string): string;
	ops(name: string): OpsSpec;
	design(name: string): string;
	/** Adds a function to the list of functions that the compiled objects must have. */
	func(name: string): string;
	/** `lp1/enabled` -> absolute. */
	file(path: string): string;
	/** Throws unless a path below /sys/kernel/livepatch, which is expected not to be there, could be there. */
	absent(path: string): void;
	/** Task names, groups resolved; `more`: further names of tasks that the file does not declare. */
	tasks(names: string | readonly string[] | undefined, more?: readonly string[]): readonly string[];
	oneTask(name: string): string;
	/** Declares a task; later steps may name it. */
	newTask(name: string, raw: RawTaskEntries): TaskSpec;
	/** Ends tasks: later steps may not name them any more. */
	exited(tasks: readonly string[]): void;
}

/** The objects on which steps act: the same for `run` and for the explorer, except the members of {@link Driver}. */
export interface StepWorld extends Driver {
	readonly machine: Machine;
	readonly livepatches: ReadonlyMap<string, LivepatchSpec>;
	/** The objects of each module and livepatch. */
	readonly objects: ReadonlyMap<string, readonly ElfObject[]>;
	readonly tasks: ScenarioTasks;
	readonly ops: ScenarioOps;
}

/** Actions that differ between `run` and the explorer. */
export interface Driver {
	/**
	 * `run`: makes this number of rounds. The explorer has no rounds: tasks move between any two points of the
	 * administrator.
	 */
	pass(rounds: number): void;
	/**
	 * Lets administrators make these lists of steps. `run`: one list after the other. Returns a function that is true
	 * when they have finished.
	 */
	race(actors: readonly (readonly StepBase[])[]): () => boolean;
	/** Reports a difference from an expectation, in `run`. The explorer ignores it: it checks invariants only. */
	fail(message: string): void;
	/** The step does nothing, for this reason. */
	skip(reason: string): void;
	/** Only in `run`, as the members below: the observed state, and the lines of dmesg since the last call. */
	look(takeDmesg: boolean): Found;
	/** The name in reports of a function that an expectation names. */
	nameOf(func: string): ReturnType<typeof nameInReports>;
	/** Result of the step before. */
	lastErrno(): number;
	/** The step has read a file. */
	hasRead(text: string): void;
	/**
	 * The cause of a transition that does not end: tasks, their places, and since which step. For the message of a step
	 * that fails.
	 */
	holdUps(): string;
	/** Begins a test of a selftest script. */
	beginTest(title: string): void;
}

/**
 * Treatment of a step that the explorer does not make: it leaves the step out, or refuses the scenario with a reason.
 */
export type NotExplored = { readonly skips: string } | { readonly refuses: string; readonly hint: string };

/**
 * Outside of the shell: the administrator's process waits in user mode while the machine continues. Not a system call.
 */
export class Outside implements Wait {
	readonly kind = "wait";
	readonly label: string;
	readonly ready: () => boolean;
	/** Largest number of rounds in `run`. The code behind the wait must check if it is ready. */
	readonly rounds: number;
	readonly quiet: boolean;

	constructor(label: string, ready: () => boolean, rounds: number, quiet = false) {
		this.label = label;
		this.ready = ready;
		this.rounds = rounds;
		this.quiet = quiet;
	}
}

/** One row of the table of steps in docs/reference.md. */
export interface StepDoc {
	/** The forms in which a scenario may write it. */
	readonly form: readonly string[];
	/** Description of its effect. */
	readonly does: string;
}

export interface StepDefinition<K extends string, S extends v.GenericSchema, V extends object> {
	/** The key in the file. */
	readonly kind: K;
	/** The schema of the value behind the key. */
	readonly value: S;
	readonly doc: StepDoc;
	/** `errno` may stand beside it. */
	readonly hasErrno?: true;
	/** It may be part of a `race`. Its result depends on which step is first, so that no errno is expected there. */
	readonly races?: true;
	/** Not a system call of the administrator: it is made in user mode, or does not act on the kernel at all. */
	readonly outside?: true;
	/** It makes tasks or ends them: it takes tasklist_lock for writing. */
	readonly writesTasklist?: true;
	/** Tasks with `sleeps_in` fall asleep while it is made. */
	readonly mayFallAsleep?: true;
	/** It waits once, and its code keeps nothing from before but tasks: a run can go on in the middle of the wait (see RunPlace). */
	readonly resumes?: true;
	/** It is no action: an `errno` after it applies to the step before. */
	readonly hasNoResult?: true;
	/** The value that the plain word stands for; undefined: it needs a value. */
	word?(): V;
	/** Resolves the names in a value of the file, fills in defaults. */
	read(raw: v.InferOutput<S>, place: Place): V;
	/** The errno inside the value. */
	innerErrno?(raw: v.InferOutput<S>): number | string | undefined;
	/** The step as one line, as a shell command if possible: `insmod lp1`. */
	title(value: V): string;
	/** Tasks that it waits for, wakes or ends. */
	named?(value: V): readonly string[];
	/** undefined: the explorer makes the step. */
	notExplored?(value: V, world: StepWorld): NotExplored | undefined;
	/** The lines that functions.sh of the kernel's selftests logs before and after the step. */
	logsBefore?(value: V, world: StepWorld): string | undefined;
	logsAfter?(value: V, errno: number): string | undefined;
	/** Makes the step: 0 or a negative errno. Throws KlpemuError if it cannot be made. */
	run(value: V, world: StepWorld): Kernel<number>;
}

/** A definition without its type parameters. */
export type AnyStep = StepDefinition<string, v.GenericSchema, object>;

/** The steps of these definitions, as `Scenario.steps` has them. */
export type StepOf<D extends AnyStep> = D extends AnyStep
	? StepBase & { readonly kind: D["kind"] } & ReturnType<D["read"]>
	: never;

export function step<const K extends string, S extends v.GenericSchema, V extends object>(
	kind: K,
	definition: Omit<StepDefinition<K, S, V>, "kind">,
): StepDefinition<K, S, V> {
	return { kind, ...definition };
}

/** A step as the file has it: a word, or a map with one key besides `errno`. */
export type RawStep = string | Readonly<Record<string, unknown>>;

const errnoByDesign = v.union([
	...errno.options,
	v.pipe(
		v.record(designName, errno),
		expected("errnos by design"),
		v.description("by design; success under all others"),
	),
]);

/** The schema of an entry of a list of steps. `withErrno`: the entry may have an errno. */
export function stepsSchema(definitions: readonly AnyStep[], withErrno: boolean) {
	const words = definitions.filter(({ word }) => word !== undefined);
	const options = definitions.map((definition) => {
		const entries: Record<string, v.GenericSchema> = { [definition.kind]: definition.value };
		if (withErrno && definition.hasErrno) entries.errno = v.optional(errnoByDesign);
		return v.strictObject(entries);
	});
	return v.union([v.picklist(words.map(({ kind }) => kind)), ...options]);
}

/** Reads a step that a schema of {@link stepsSchema} has accepted. */
export function readStep<D extends AnyStep>(definitions: readonly D[], raw: RawStep, place: Place): StepOf<D> {
	const key = typeof raw === "string" ? raw : Object.keys(raw).find((name) => name !== "errno");
	const definition = definitions.find(({ kind }) => kind === key);
	if (definition === undefined) throw new Error(`the schema accepts a step that has no definition: ${key}`);
	const value = typeof raw === "string" ? definition.word?.() : definition.read(raw[definition.kind], place.at(key!));
	const base = { kind: definition.kind, position: place.position, ...readErrno(definition, raw, place) };
	// StepOf takes its type from the result of the definition's read().
	return { ...value, ...base } as StepOf<D>;
}

function readErrno(definition: AnyStep, raw: RawStep, place: Place): Pick<StepBase, "errno" | "errnoByDesign"> {
	if (typeof raw === "string") return { errno: 0, errnoByDesign: new Map() };
	const outer = raw.errno as number | string | Readonly<Record<string, number | string>> | undefined;
	const inner = definition.innerErrno?.(raw[definition.kind]);
	if (outer !== undefined && inner !== undefined) {
		throw place.key("errno").error("SCENARIO_DUPLICATE", "errno is given twice");
	}
	const value = outer ?? inner ?? 0;
	if (typeof value !== "object") return { errno: errnoOf(value), errnoByDesign: new Map() };
	const byDesign = Object.entries(value).map(([design, name]): [string, number] => {
		return [place.key("errno", design).design(design), errnoOf(name)];
	});
	return { errno: 0, errnoByDesign: new Map(byDesign) };
}
