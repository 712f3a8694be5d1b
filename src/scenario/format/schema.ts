/**
 * The scenario file as people write it: what keys there are and what each may hold. Nothing is transformed here, so that
 * the same schema validates, gives the types and is published as JSON Schema. `normalise.ts` makes a {@link Scenario} of it.
 */
import * as v from "valibot";
import { ERRNO } from "../../linux/lib/index.js";
import { OPS_FLAGS, PATCH_STATES, PREEMPTION, VERDICTS } from "../types.js";

/** `expected`: how an error message calls what must stand here. */
const expected = <T>(words: string) => v.metadata<T, { readonly expected: string }>({ expected: words });

const flag = v.pipe(v.boolean(), expected("true or false"));
const text = v.pipe(v.string(), v.nonEmpty(), expected("a text"));
const whole = (from: number, to: number) =>
	v.pipe(v.number(), v.integer(), v.minValue(from), v.maxValue(to), expected(`a whole number from ${from} to ${to}`));
/** A patched function as reports call it: `funcA`, `funcA#2`, `some_mod:funcA`. */
const watched = v.pipe(
	v.string(),
	v.regex(/^(\w+:)?[A-Za-z_.$][\w.$]*(#\d{1,4})?$/),
	expected("the name of a function"),
);
const symbol = v.pipe(v.string(), v.regex(/^[A-Za-z_.$][\w.$]*$/), expected("the name of a function"));
const moduleName = v.pipe(v.string(), v.regex(/^[A-Za-z_]\w{0,54}$/), expected("the name of a module"));
const taskKey = v.pipe(v.string(), v.regex(/^[A-Za-z_][\w.:-]*$/), expected("the name of a task"));
const taskName = v.pipe(v.string(), v.regex(/^[A-Za-z_][\w.:-]*(\/\d+)?$/), expected("the name of a task"));
const taskNames = v.union([taskName, v.pipe(v.array(taskName), v.nonEmpty(), expected("a list of tasks"))]);
const designName = v.pipe(v.string(), v.nonEmpty(), expected("the name of a design"));
const integer64 = v.custom<number | bigint>(
	(value) => (typeof value === "number" && Number.isInteger(value)) || typeof value === "bigint",
);
const seed = v.pipe(
	integer64,
	v.check((value) => value >= 0 && BigInt(value) < 1n << 64n),
	expected("a whole number from 0 to 2^64 - 1"),
);

/** Errnos by name, with and without the sign: `EBUSY`, `-EBUSY`. */
export const ERRNO_NAMES: readonly string[] = Object.keys(ERRNO).flatMap((name) => [name, `-${name}`]);
const errno = v.pipe(
	v.union([
		v.pipe(v.number(), v.integer(), v.minValue(-4095), v.maxValue(0), expected("0 or a negative errno such as -16")),
		v.pipe(v.picklist(ERRNO_NAMES), expected("the name of an errno such as EBUSY")),
	]),
	v.description("result of the step: 0, a negative errno such as -16, or its name (EBUSY)"),
);

const sources = v.pipe(
	v.array(text),
	v.nonEmpty(),
	expected("a list of files"),
	v.description(".c, .S or .o files, relative to the scenario file or to the project"),
);

const funcEntry = v.union([symbol, v.strictObject({ new_func: symbol, replaceable: v.optional(flag) })]);
const funcs = v.pipe(
	v.record(
		v.pipe(v.string(), v.regex(/^[A-Za-z_.$][\w.$]*(#\d{1,4})?$/), expected("a function, perhaps with #sympos")),
		funcEntry,
	),
	expected("a map of functions"),
	v.description("patched function -> its replacement; func#2 is the second symbol of that name"),
);

export const livepatchSchema = v.strictObject({
	sources,
	replace: v.optional(v.pipe(v.union([flag, whole(0, 0xffffffff)]), v.description("klp_patch.replace"))),
	replaceable: v.optional(v.pipe(flag, v.description("klp_patch.replaceable (rfc-2025)"))),
	replace_set: v.optional(v.pipe(whole(0, 0xffffffff), v.description("klp_patch.replace_set"))),
	funcs: v.optional(funcs),
	objects: v.optional(
		v.pipe(
			v.record(moduleName, funcs),
			expected("a map of objects"),
			v.description("the long form of funcs: vmlinux or a module -> its functions"),
		),
	),
	states: v.optional(
		v.pipe(
			v.array(v.strictObject({ id: whole(0, 0xffffffff), version: whole(0, 0xffffffff) })),
			expected("a list of states"),
			v.description("klp_patch.states"),
		),
	),
});

const opsName = v.pipe(v.string(), v.regex(/^[A-Za-z_]\w*$/), expected("the name of an ops"));
export const opsSchema = v.strictObject({
	funcs: v.optional(
		v.pipe(v.array(symbol), v.nonEmpty(), expected("a list of functions"), v.description("default: all functions")),
	),
	flags: v.optional(
		v.pipe(v.array(v.picklist(OPS_FLAGS)), expected("a list of flags"), v.description("FTRACE_OPS_FL_*")),
	),
	func: v.optional(v.pipe(symbol, v.description("the call-back, a function of the guest; default: calls are counted"))),
	ip: v.optional(v.pipe(symbol, v.description("the function that calls are sent to; implies IPMODIFY"))),
	direct: v.optional(v.pipe(symbol, v.description("the function that the sites call (register_ftrace_direct)"))),
	shared: v.optional(v.pipe(symbol, v.description("takes the place of direct where an IPMODIFY ops is attached too"))),
});

const taskEntries = {
	calls: v.optional(
		v.pipe(
			v.array(symbol),
			expected("a list of functions"),
			v.description("what it calls each time it enters the kernel"),
		),
	),
	sleeps_in: v.optional(v.pipe(symbol, v.description("falls asleep in this function until a wake step"))),
	interruptible: v.optional(v.pipe(flag, v.description("a signal ends the sleep of sleeps_in as well"))),
	kthread: v.optional(flag),
	cpu: v.optional(v.pipe(whole(0, 63), v.description("the CPU it is bound to"))),
	fork: v.optional(
		v.pipe(flag, v.description("klpemu explore: it may fork a task like itself, once, at any time in user mode")),
	),
	exit: v.optional(v.pipe(flag, v.description("klpemu explore: it may exit at any time in user mode"))),
	idle: v.optional(v.pipe(flag, v.description("starts asleep outside every patchable function, until a wake step"))),
};
export const taskSchema = v.strictObject({
	count: v.optional(v.pipe(whole(1, 1024), v.description("with 2 or more: tasks NAME/0, NAME/1, ..."))),
	...taskEntries,
});

const sysfsValue = v.union([
	v.pipe(v.number(), v.integer(), expected("a whole number")),
	flag,
	v.pipe(v.string(), expected("a text")),
	v.null(),
]);
const bit = v.union([flag, whole(0, 1)]);

export const expectSchema = v.strictObject({
	design: v.optional(
		v.pipe(
			v.union([designName, v.pipe(v.array(designName), v.nonEmpty(), expected("a list of designs"))]),
			v.description("compare under these designs only"),
		),
	),
	errno: v.optional(errno),
	dmesg: v.optional(
		v.pipe(
			v.array(text),
			v.nonEmpty(),
			expected("a list of lines"),
			v.description("lines printed since the last expect with this key, in this order"),
		),
	),
	task: v.optional(taskNames),
	patch_state: v.optional(
		v.union([
			v.picklist(PATCH_STATES),
			v.pipe(v.number(), v.integer(), v.minValue(-1), v.maxValue(1), expected("-1, 0 or 1")),
		]),
	),
	pending: v.optional(v.pipe(bit, v.description("TIF_PATCH_PENDING"))),
	in: v.optional(v.union([symbol, v.null()])),
	view: v.optional(v.pipe(v.record(watched, symbol), expected("a map of functions"))),
	sysfs: v.optional(v.pipe(v.record(v.pipe(v.string(), v.nonEmpty()), sysfsValue), expected("a map of paths"))),
	func_stacks: v.optional(
		v.pipe(
			v.record(watched, v.pipe(v.array(symbol), expected("a list of implementations"))),
			expected("a map of functions"),
		),
	),
	calls: v.optional(
		v.pipe(
			v.record(opsName, whole(0, 1_000_000_000)),
			expected("a map of ops"),
			v.description("how often an ops was called since it was registered"),
		),
	),
	trace: v.optional(
		v.pipe(
			v.array(text),
			v.nonEmpty(),
			expected("a list of texts"),
			v.description("parts of lines of /sys/kernel/tracing/trace, in this order"),
		),
	),
});

const sysctl = v.pipe(
	v.string(),
	v.regex(/^[a-z][\w.]*=\S+$/),
	expected("NAME=VALUE, for example kernel.ftrace_enabled=0"),
);
const rounds = whole(0, 1_000_000);
const scalar = v.union([
	v.pipe(v.number(), v.integer(), expected("a whole number")),
	flag,
	v.pipe(v.string(), expected("a text")),
]);

/** A module parameter: its text, or the pids of tasks. */
const param = v.union([
	...scalar.options,
	v.pipe(
		v.strictObject({ pids: taskNames }),
		expected("{ pids: TASK }"),
		v.description("the pids of these tasks, with commas between"),
	),
]);
const filePath = v.pipe(text, v.description("absolute, or below /sys/kernel/livepatch"));

const SIMPLE_STEPS = {
	insmod: v.union([
		moduleName,
		v.strictObject({
			module: moduleName,
			params: v.optional(v.record(v.pipe(v.string(), v.regex(/^[\w-]+$/)), param)),
		}),
	]),
	rmmod: moduleName,
	settle: v.strictObject({ rounds }),
	run: v.union([rounds, v.strictObject({ task: v.optional(taskNames), rounds: v.optional(rounds) })]),
	sleep: v.pipe(v.number(), v.gtValue(0), v.maxValue(3600), expected("seconds, more than 0 and at most 3600")),
	disable: moduleName,
	enable: moduleName,
	reverse: moduleName,
	force: moduleName,
	echo: v.strictObject({ path: filePath, value: scalar, errno: v.optional(errno) }),
	cat: v.union([
		text,
		v.strictObject({
			path: filePath,
			value: v.optional(v.pipe(scalar, v.description("what it must hold, without its last newline"))),
			grep: v.optional(v.pipe(text, v.description("only lines with this text"))),
			to: v.optional(v.pipe(text, v.description("writes what was read to that file, if it is anything"))),
		}),
	]),
	stat: v.strictObject({
		path: filePath,
		rights: v.pipe(
			v.string(),
			v.regex(/^[-d]([-r][-w][-x]){3}$/),
			expected("rights such as -rw-r--r--"),
			v.description("as stat --format %A prints them"),
		),
	}),
	sysctl,
	register: opsName,
	unregister: opsName,
	cpu_up: whole(0, 63),
	cpu_down: whole(0, 63),
	wake: taskNames,
	fork: v.strictObject({ parent: taskName, child: taskKey, ...taskEntries }),
	exit: taskNames,
	call: v.strictObject({ task: taskName, func: symbol, value: v.optional(integer64) }),
	state: text,
	test: text,
	expect: expectSchema,
} as const;

const plain = <K extends keyof typeof SIMPLE_STEPS>(key: K) =>
	v.strictObject({ [key]: SIMPLE_STEPS[key] } as { [P in K]: (typeof SIMPLE_STEPS)[P] });

/** Steps that may race with others. Their results depend on who is first, so that none is expected. */
const racingStepSchema = v.union([
	v.picklist(["reverse", "force"]),
	plain("insmod"),
	plain("rmmod"),
	plain("disable"),
	plain("enable"),
	plain("reverse"),
	plain("force"),
	plain("echo"),
	plain("wake"),
	plain("fork"),
	plain("exit"),
]);

/** What may stand after each step's key. */
export const STEP_VALUES = {
	...SIMPLE_STEPS,
	race: v.pipe(
		v.array(v.pipe(v.array(racingStepSchema), v.nonEmpty(), expected("a list of steps"))),
		v.minLength(2),
		expected("two or more lists of steps"),
		v.description(
			"lists of steps that administrators make at the same time; klpemu run makes one list after the other",
		),
	),
} as const;

/** Steps that may also be written as a plain word. */
export const STEP_WORDS = ["settle", "reverse", "force"] as const;

const word = v.picklist(STEP_WORDS);
type StepKey = keyof typeof STEP_VALUES;
const one = <K extends StepKey>(key: K) =>
	v.strictObject({ [key]: STEP_VALUES[key], errno: v.optional(errno) } as { [P in K]: (typeof STEP_VALUES)[P] } & {
		errno: ReturnType<typeof v.optional<typeof errno, undefined>>;
	});
export const stepSchema = v.union([
	word,
	one("insmod"),
	one("rmmod"),
	v.strictObject({ settle: STEP_VALUES.settle }),
	v.strictObject({ run: STEP_VALUES.run }),
	v.strictObject({ sleep: STEP_VALUES.sleep }),
	one("disable"),
	one("enable"),
	one("reverse"),
	one("force"),
	one("echo"),
	one("cat"),
	one("stat"),
	one("sysctl"),
	one("register"),
	one("unregister"),
	one("cpu_up"),
	one("cpu_down"),
	v.strictObject({ wake: STEP_VALUES.wake }),
	v.strictObject({ fork: STEP_VALUES.fork }),
	v.strictObject({ exit: STEP_VALUES.exit }),
	v.strictObject({ call: STEP_VALUES.call }),
	v.strictObject({ state: v.pipe(STEP_VALUES.state, v.description("a title for the state at this point")) }),
	v.strictObject({ test: v.pipe(STEP_VALUES.test, v.description("begins a test of a selftest script")) }),
	v.strictObject({ race: STEP_VALUES.race }),
	v.strictObject({ expect: STEP_VALUES.expect }),
]);

const verdict = v.picklist(VERDICTS);

export const scenarioSchema = v.strictObject({
	title: text,
	source: v.optional(v.pipe(text, v.description("where the scenario comes from, usually a mail"))),
	design: v.optional(v.pipe(designName, v.description("the replace design; --design overrides it"))),
	cpu: v.optional(v.picklist(["jit", "unicorn"])),
	cpus: v.optional(v.pipe(whole(1, 64), v.description("emulated CPUs"))),
	preemption: v.optional(
		v.pipe(
			v.picklist(PREEMPTION),
			v.description("klpemu explore: can a task lose its CPU in kernel mode? none (default), or full (CONFIG_PREEMPT)"),
		),
	),
	seed: v.optional(v.pipe(seed, v.description("the schedule's seed; --seed overrides it"))),
	hz: v.optional(v.pipe(whole(24, 10_000), v.description("timer ticks per second (CONFIG_HZ)"))),
	ibt: v.optional(v.pipe(flag, v.description("compile guest code with -fcf-protection=branch"))),
	memory: v.optional(
		v.pipe(
			v.string(),
			v.regex(/^[1-9]\d{0,3} ?MiB$/),
			expected("a size such as 64 MiB"),
			v.description("guest memory"),
		),
	),
	vmlinux: sources,
	modules: v.optional(v.pipe(v.record(moduleName, v.strictObject({ sources })), expected("a map of modules"))),
	livepatches: v.optional(v.pipe(v.record(moduleName, livepatchSchema), expected("a map of livepatches"))),
	ftrace_ops: v.optional(
		v.pipe(
			v.record(opsName, opsSchema),
			expected("a map of ops"),
			v.description("what register and unregister steps attach beside livepatches"),
		),
	),
	selftest: v.optional(
		v.pipe(
			text,
			v.description(
				"what a kernel printed in this script of tools/testing/selftests/livepatch; steps then write to the log as functions.sh does",
			),
		),
	),
	tasks: v.optional(v.pipe(v.record(taskKey, taskSchema), expected("a map of tasks"))),
	steps: v.pipe(v.array(stepSchema), v.nonEmpty(), expected("a list of steps")),
	expect: v.optional(
		v.pipe(
			v.union([verdict, v.pipe(v.record(designName, verdict), expected("a map of designs"))]),
			v.description("the verdict, or verdicts by design"),
		),
	),
});

export type RawScenario = v.InferOutput<typeof scenarioSchema>;
export type RawLivepatch = v.InferOutput<typeof livepatchSchema>;
export type RawOps = v.InferOutput<typeof opsSchema>;
export type RawTask = v.InferOutput<typeof taskSchema>;
export type RawExpect = v.InferOutput<typeof expectSchema>;
export type RawStep = v.InferOutput<typeof stepSchema>;
