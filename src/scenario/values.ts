/** Schemas of the values of a scenario file: names, numbers, texts. Values are not transformed here. */
import * as v from "valibot";
import { ERRNO } from "../linux/lib/index.js";

/** `expected`: the description of the wanted value in an error message. */
export const expected = <T>(words: string) => v.metadata<T, { readonly expected: string }>({ expected: words });

export const flag = v.pipe(v.boolean(), expected("true or false"));
export const text = v.pipe(v.string(), v.nonEmpty(), expected("a text"));
export const whole = (from: number, to: number) =>
	v.pipe(v.number(), v.integer(), v.minValue(from), v.maxValue(to), expected(`a whole number from ${from} to ${to}`));
/** The name of a patched function in reports: `funcA`, `funcA#2`, `some_mod:funcA`. */
export const watched = v.pipe(
	v.string(),
	v.regex(/^(\w+:)?[A-Za-z_.$][\w.$]*(#\d{1,4})?$/),
	expected("the name of a function"),
);
export const symbol = v.pipe(v.string(), v.regex(/^[A-Za-z_.$][\w.$]*$/), expected("the name of a function"));
export const moduleName = v.pipe(v.string(), v.regex(/^[A-Za-z_]\w{0,54}$/), expected("the name of a module"));
/** The end of a module's file. What is compressed is no object yet: parseElf() says so, and what unpacks it. */
export const KO_FILE = /\.ko(?:\.(?:gz|xz|zst))?$/;
/** A module by its file: it need not be declared. */
export const koFile = v.pipe(
	v.string(),
	v.regex(KO_FILE),
	expected("the path of a .ko"),
	v.description("a .ko, relative to the scenario file or to the project"),
);
export const taskKey = v.pipe(v.string(), v.regex(/^[A-Za-z_][\w.:-]*$/), expected("the name of a task"));
export const taskName = v.pipe(v.string(), v.regex(/^[A-Za-z_][\w.:-]*(\/\d+)?$/), expected("the name of a task"));
export const taskNames = v.union([taskName, v.pipe(v.array(taskName), v.nonEmpty(), expected("a list of tasks"))]);
export const designName = v.pipe(v.string(), v.nonEmpty(), expected("the name of a design"));
export const integer64 = v.custom<number | bigint>(
	(value) => (typeof value === "number" && Number.isInteger(value)) || typeof value === "bigint",
);
/** A register's content, signed or unsigned. */
export const word64 = v.pipe(
	integer64,
	v.check((value) => BigInt(value) >= -(1n << 63n) && BigInt(value) < 1n << 64n),
	expected("a whole number of 64 bits, from -2^63 to 2^64 - 1"),
);
export const seed = v.pipe(
	integer64,
	v.check((value) => value >= 0 && BigInt(value) < 1n << 64n),
	expected("a whole number from 0 to 2^64 - 1"),
);

/** Errnos by name, with and without the sign: `EBUSY`, `-EBUSY`. */
export const ERRNO_NAMES: readonly string[] = Object.keys(ERRNO).flatMap((name) => [name, `-${name}`]);
export const errno = v.pipe(
	v.union([
		v.pipe(v.number(), v.integer(), v.minValue(-4095), v.maxValue(0), expected("0 or a negative errno such as -16")),
		v.pipe(v.picklist(ERRNO_NAMES), expected("the name of an errno such as EBUSY")),
	]),
	v.description("result of the step: 0, a negative errno such as -16, or its name (EBUSY)"),
);

export const opsName = v.pipe(v.string(), v.regex(/^[A-Za-z_]\w*$/), expected("the name of an ops"));
export const scalar = v.union([
	v.pipe(v.number(), v.integer(), expected("a whole number")),
	flag,
	v.pipe(v.string(), expected("a text")),
]);

export const filePath = v.pipe(text, v.description("absolute, or below /sys/kernel/livepatch"));

/** The keys of a task, with their defaults; `undefined`: no default. */
export const taskEntries = {
	calls: v.optional(
		v.pipe(
			v.array(symbol),
			expected("a list of functions"),
			v.description("what it calls each time it enters the kernel"),
		),
		[],
	),
	sleeps_in: v.optional(v.pipe(symbol, v.description("falls asleep in this function until a wake step"))),
	interruptible: v.optional(v.pipe(flag, v.description("a signal ends the sleep of sleeps_in as well"))),
	kthread: v.optional(v.pipe(flag, v.description("a kernel thread: it never leaves the kernel")), false),
	cpu: v.optional(v.pipe(whole(0, 63), v.description("the CPU it is bound to"))),
	fork: v.optional(
		v.pipe(flag, v.description("klpemu explore: it may fork a task like itself, once, at any time in user mode")),
		false,
	),
	exit: v.optional(v.pipe(flag, v.description("klpemu explore: it may exit at any time in user mode")), false),
	exit_calls: v.optional(
		v.pipe(
			v.array(symbol),
			expected("a list of functions"),
			v.description("what do_exit() still calls when the task has left the task list, where no transition finds it"),
		),
		[],
	),
	idle: v.optional(
		v.pipe(flag, v.description("starts asleep outside every patchable function, until a wake step")),
		false,
	),
};

const taskSchema = v.strictObject(taskEntries);
/** The value of a `fork` step; a task has the same keys and `count`. */
export type RawTaskEntries = v.InferOutput<typeof taskSchema>;

export function listOf<T>(value: T | readonly T[] | undefined): readonly T[] {
	return value === undefined ? [] : Array.isArray(value) ? value : [value as T];
}

/** A scalar in the form for a file of the kernel: `true` is `1`. */
export function fileText(value: number | boolean | string): string {
	return typeof value === "boolean" ? String(Number(value)) : String(value);
}

/** What a file of sysfs holds: a number, or the text if it is not the text of one. */
export function fileValue(text: string): number | string {
	const value = Number(text);
	return String(value) === text ? value : text;
}

/** `errno` as a scenario has it -> 0 or a negative number. */
export function errnoOf(value: number | string): number {
	return typeof value === "number" ? value : -ERRNO[value.replace("-", "") as keyof typeof ERRNO];
}
