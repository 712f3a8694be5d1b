/**
 * The scenario file as users write it: its keys and their values. Values are not transformed here, so that the same
 * schema validates, gives the types and is published as JSON Schema. `normalise.ts` makes a {@link Scenario} of it.
 */
import * as v from "valibot";
import { designs } from "../../designs/index.js";
import type { Design } from "../../linux/klp/index.js";
import { stepSchema } from "../steps/index.js";
import { OPS_FLAGS, PREEMPTION, VERDICTS } from "../types.js";
import {
	designName,
	errno,
	expected,
	flag,
	moduleName,
	opsName,
	seed,
	symbol,
	taskEntries,
	taskKey,
	text,
	whole,
} from "../values.js";
import { type DesignFields, designFields, fieldEntries } from "./design-fields.js";

const sources = v.pipe(
	v.array(text),
	v.nonEmpty(),
	expected("a list of files"),
	v.description(".c, .S or .o files, or one .ko, relative to the scenario file or to the project"),
);

function funcsSchema(keys: DesignFields) {
	return v.pipe(
		v.record(
			v.pipe(v.string(), v.regex(/^[A-Za-z_.$][\w.$]*(#\d{1,4})?$/), expected("a function, perhaps with #sympos")),
			v.union([symbol, v.strictObject({ new_func: symbol, ...fieldEntries("klp_func", keys) })]),
		),
		expected("a map of functions"),
		v.description("patched function -> its replacement; func#2 is the second symbol of that name"),
	);
}

/** The keys of a livepatch that replace designs add to it and to its functions. */
export interface LivepatchKeys {
	readonly patch: DesignFields;
	readonly func: DesignFields;
}

export function livepatchKeys(designs: readonly Design[]): LivepatchKeys {
	return {
		patch: designFields(designs, ({ fields }) => fields),
		func: designFields(designs, ({ funcFields = [] }) => funcFields),
	};
}

/** The keys of a livepatch for one design. */
function sectionSchema(keys: LivepatchKeys) {
	const func = v.strictObject(fieldEntries("klp_func", keys.func));
	return v.strictObject({
		...fieldEntries("klp_patch", keys.patch),
		funcs: v.optional(v.pipe(v.record(symbol, func), expected("a map of functions"))),
	});
}

function livepatchSchema(keys: LivepatchKeys) {
	const funcs = funcsSchema(keys.func);
	return v.strictObject({
		sources,
		...fieldEntries("klp_patch", keys.patch),
		designs: v.optional(
			v.pipe(
				v.record(designName, sectionSchema(keys)),
				expected("a map of designs"),
				v.description(
					"by design, its keys for this livepatch and its functions; they stand in place of those beside them",
				),
			),
		),
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
}

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

export const taskSchema = v.strictObject({
	count: v.optional(v.pipe(whole(1, 1024), v.description("with 2 or more: tasks NAME/0, NAME/1, ..."))),
	...taskEntries,
});

const verdict = v.picklist(VERDICTS);
const verdicts = v.union([verdict, v.pipe(v.record(designName, verdict), expected("a map of designs"))]);

/** `keys`: result of {@link livepatchKeys} for the known designs. */
export function scenarioSchemaOf(keys: LivepatchKeys) {
	return v.strictObject({
		title: v.pipe(text, v.description("the question, in one line")),
		source: v.optional(v.pipe(text, v.description("where the scenario comes from, usually a mail"))),
		design: v.optional(v.pipe(designName, v.description("the replace design; --design overrides it"))),
		core: v.optional(
			v.pipe(
				text,
				v.description(
					"klpemu run: the kernel's own livepatch code, a file of klpemu kernel build; --core overrides it",
				),
			),
		),
		cpu: v.optional(v.pipe(v.picklist(["jit", "unicorn"]), v.description("the processor; --cpu overrides it"))),
		cpus: v.optional(v.pipe(whole(1, 64), v.description("emulated CPUs"))),
		preemption: v.optional(
			v.pipe(
				v.picklist(PREEMPTION),
				v.description(
					"klpemu explore: can a task lose its CPU in kernel mode? none (default), or full (CONFIG_PREEMPT)",
				),
			),
		),
		seed: v.optional(v.pipe(seed, v.description("the schedule's seed; --seed overrides it"))),
		hz: v.optional(v.pipe(whole(24, 10_000), v.description("timer ticks per second (CONFIG_HZ)"))),
		ibt: v.optional(v.pipe(flag, v.description("compile guest code with -fcf-protection=branch"))),
		memory: v.optional(
			v.pipe(
				v.string(),
				v.regex(/^([1-9]\d{0,2}|[1-3]\d{3}|4000) ?MiB$/),
				expected("a size from 1 MiB to 4000 MiB"),
				v.description("guest memory"),
			),
		),
		vmlinux: sources,
		modules: v.optional(
			v.pipe(
				v.record(moduleName, v.strictObject({ sources })),
				expected("a map of modules"),
				v.description("modules that steps load"),
			),
		),
		livepatches: v.optional(
			v.pipe(
				v.record(moduleName, livepatchSchema(keys)),
				expected("a map of livepatches"),
				v.description("livepatches that steps load"),
			),
		),
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
		tasks: v.optional(
			v.pipe(v.record(taskKey, taskSchema), expected("a map of tasks"), v.description("the tasks at the start")),
		),
		steps: v.pipe(v.array(stepSchema), v.nonEmpty(), expected("a list of steps")),
		expect: v.optional(v.pipe(verdicts, v.description("the verdict, or verdicts by design"))),
		explore: v.optional(
			v.pipe(
				v.strictObject({
					expect: v.optional(
						v.pipe(
							verdicts,
							v.description("instead of the other expect, where one schedule does not show what all do"),
						),
					),
					may_fail: v.optional(
						v.pipe(
							v.record(text, v.pipe(v.array(errno), v.nonEmpty(), expected("a list of errnos"))),
							expected("a map of steps"),
							v.description("by the title of a step: results that it also has, in some schedules"),
						),
					),
				}),
				v.description("what klpemu explore finds"),
			),
		),
	});
}

export const scenarioSchema = scenarioSchemaOf(livepatchKeys(designs));

export type RawScenario = v.InferOutput<typeof scenarioSchema>;
export type RawLivepatch = v.InferOutput<ReturnType<typeof livepatchSchema>>;
export type RawOps = v.InferOutput<typeof opsSchema>;
export type RawTask = v.InferOutput<typeof taskSchema>;
