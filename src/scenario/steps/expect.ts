import * as v from "valibot";
import { checkExpectation } from "../expectation.js";
import { appliesTo, type Expectation, PATCH_STATES, type PatchState } from "../types.js";
import {
	designName,
	errno,
	errnoOf,
	expected,
	fileText,
	flag,
	listOf,
	opsName,
	symbol,
	taskNames,
	text,
	watched,
	whole,
} from "../values.js";
import { type Place, type StepWorld, step } from "./step.js";

const LIVEPATCH_DIR = "/sys/kernel/livepatch/";
const bit = v.union([flag, whole(0, 1)]);
const sysfsValue = v.union([
	v.pipe(v.number(), v.integer(), expected("a whole number")),
	flag,
	v.pipe(v.string(), expected("a text")),
	v.null(),
]);

const expectSchema = v.strictObject({
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
type RawExpect = v.InferOutput<typeof expectSchema>;

export const state = step("state", {
	value: v.pipe(text, v.description("a title for the state at this point")),
	doc: { form: ["state: title"], does: "no action: a title in the report" },
	outside: true,
	hasNoResult: true,
	read: (raw) => ({ title: raw }),
	title: ({ title }) => `state: ${title}`,
	notExplored: () => ({ skips: "it does nothing" }),
	// biome-ignore lint/correctness/useYield: it does nothing
	*run() {
		return 0;
	},
});

export const expect = step("expect", {
	value: expectSchema,
	doc: {
		form: ["expect: { ... }"],
		does: "compares: `task` with `patch_state`, `pending`, `in`, `view`; `sysfs`; `func_stacks`; `dmesg`; `calls` of ops; `trace`; `errno` of the step before; `design` restricts it",
	},
	outside: true,
	hasNoResult: true,
	read: (raw, place) => ({ expect: readExpectation(raw, place) }),
	title: ({ expect }) => titleOf(expect),
	/** It describes one order of events. The explorer has all orders, and checks the invariants in each. */
	notExplored: () => ({ skips: "it only looks, and what it expects is true of one order of events" }),
	// biome-ignore lint/correctness/useYield: nothing that another task could see
	*run({ expect }, { machine, look, fail, skip, lastErrno, nameOf }) {
		const { name } = machine.klp.design;
		if (!appliesTo(expect, name)) skip(`it is for ${expect.designs!.join(", ")}, not for ${name}`);
		else {
			const named = {
				...expect,
				view: withNames(expect.view, nameOf, fail),
				func_stacks: withNames(expect.func_stacks, nameOf, fail),
			};
			for (const message of checkExpectation(named, look(expect.dmesg !== undefined))) fail(message);
		}
		return lastErrno();
	},
});

/** The same, with the names of reports. An expectation for a function that does not exist fails. */
function withNames<T>(
	wanted: ReadonlyMap<string, T>,
	nameOf: StepWorld["nameOf"],
	fail: StepWorld["fail"],
): ReadonlyMap<string, T> {
	return new Map(
		[...wanted].flatMap(([func, value]): [string, T][] => {
			const found = nameOf(func);
			if ("name" in found) return [[found.name, value]];
			fail(found.problem);
			return [];
		}),
	);
}

function readExpectation(raw: RawExpect, place: Place): Expectation {
	checkKeys(raw, place);
	const designs = raw.design === undefined ? undefined : listOf<string>(raw.design);
	designs?.forEach((name, index) => {
		(typeof raw.design === "string" ? place.at("design") : place.at("design", index)).design(name);
	});
	for (const key of ["view", "func_stacks"] as const) {
		for (const func of Object.keys(raw[key] ?? {})) {
			const at = place.key(key, func);
			const object = /^(\w+):/.exec(func)?.[1];
			if (object !== undefined && object !== "vmlinux") at.module(object);
			at.func(func.replace(/^\w+:|#\d+$/g, ""));
		}
	}
	return {
		tasks: place.at("task").tasks(raw.task, place.idleTasks),
		patch_state: raw.patch_state === undefined ? undefined : patchState(raw.patch_state),
		pending: raw.pending === undefined ? undefined : Boolean(raw.pending),
		in: raw.in,
		view: new Map(Object.entries(raw.view ?? {})),
		sysfs: readSysfs(raw.sysfs ?? {}, place),
		func_stacks: new Map(Object.entries(raw.func_stacks ?? {})),
		calls: readCalls(raw.calls ?? {}, place),
		trace: raw.trace,
		dmesg: raw.dmesg,
		errno: raw.errno === undefined ? undefined : errnoOf(raw.errno),
		designs,
	};
}

function checkKeys(raw: RawExpect, place: Place): void {
	const aboutTask = (["patch_state", "pending", "in", "view"] as const).filter((key) => raw[key] !== undefined);
	if (raw.task === undefined && aboutTask.length > 0) {
		const message = `'${aboutTask[0]}' is about a task, but no 'task' is named`;
		throw place.key().error("SCENARIO_EXPECT", message, "add task: NAME");
	}
	if (raw.task !== undefined && aboutTask.length === 0) {
		const hint = "add one of: patch_state, pending, in, view";
		throw place.key().error("SCENARIO_EXPECT", "nothing is expected of the task", hint);
	}
	if (Object.keys(raw).every((key) => key === "design")) {
		const hint = "add one of: errno, dmesg, task, sysfs, func_stacks, calls, trace";
		throw place.key().error("SCENARIO_EXPECT", "an empty expectation", hint);
	}
}

function readCalls(raw: NonNullable<RawExpect["calls"]>, place: Place): Map<string, number> {
	for (const name of Object.keys(raw)) {
		const at = place.key("calls", name);
		const { func, direct } = at.ops(name);
		if (func === undefined && direct === undefined) continue;
		const message = `calls of '${name}' are made in the guest, where they are not counted`;
		throw at.error("SCENARIO_EXPECT", message, "look at what its function leaves behind");
	}
	return new Map(Object.entries(raw));
}

function readSysfs(raw: NonNullable<RawExpect["sysfs"]>, place: Place): Map<string, string | null> {
	const entries = Object.entries(raw).map(([path, value]): [string, string | null] => {
		const at = place.key("sysfs", path);
		const full = at.file(path);
		if (!full.startsWith(LIVEPATCH_DIR)) {
			const hint = "paths here are relative to that folder, for example lp1/enabled";
			throw at.error("SCENARIO_BAD_VALUE", `'${path}' is not in ${LIVEPATCH_DIR}`, hint);
		}
		const file = full.slice(LIVEPATCH_DIR.length);
		if (value === null) at.absent(file);
		return [file, value === null ? null : fileText(value)];
	});
	return new Map(entries);
}

function patchState(value: PatchState | number): PatchState {
	return typeof value === "string" ? value : value < 0 ? "IDLE" : value === 0 ? "UNPATCHED" : "PATCHED";
}

function titleOf(expect: Expectation): string {
	const parts: string[] = [];
	if (expect.errno !== undefined) parts.push(`errno ${expect.errno}`);
	if (expect.patch_state !== undefined) parts.push(expect.patch_state);
	if (expect.pending !== undefined) parts.push(expect.pending ? "pending" : "not pending");
	if (expect.in !== undefined) parts.push(expect.in === null ? "in no patched function" : `in ${expect.in}`);
	for (const [func, impl] of expect.view) parts.push(`${func} -> ${impl}`);
	for (const [path, value] of expect.sysfs) parts.push(value === null ? `no ${path}` : `${path} = ${value}`);
	for (const [func, stack] of expect.func_stacks) parts.push(`${func} [${stack.join(", ")}]`);
	for (const [ops, count] of expect.calls) parts.push(`${ops} called ${count} times`);
	if (expect.trace !== undefined) parts.push(`trace, ${expect.trace.length} lines`);
	if (expect.dmesg !== undefined) parts.push(`dmesg, ${expect.dmesg.length} lines`);
	const tasks = expect.tasks.length === 0 ? "" : `${expect.tasks.join(", ")}: `;
	const designs = expect.designs === undefined ? "" : ` (${expect.designs.join(", ")})`;
	return `expect ${tasks}${parts.join(", ")}${designs}`;
}
