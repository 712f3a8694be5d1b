/** The list of steps. The type, the schema, the JSON schema and the table of docs/reference.md are made from it. */

import { expect, state } from "./expect.js";
import { cat, disable, echo, enable, force, reverse, stat, sysctl } from "./files.js";
import { cpu_down, cpu_up } from "./hotplug.js";
import { insmod, rmmod } from "./modules.js";
import { modify, register, unregister } from "./ops.js";
import { raceOf } from "./race.js";
import { test } from "./selftest.js";
import { type AnyStep, type Place, type RawStep, readStep as readOneOf, type StepOf, stepsSchema } from "./step.js";
import { call, exit, fork, wake } from "./tasks.js";
import { run, settle, sleep } from "./time.js";

/** The steps that may stand in a `race`. */
const RACING = [
	...[insmod, rmmod, disable, enable, reverse, force, echo, wake, fork, exit],
	...[register, unregister, modify],
] as const;
const racingSchema = stepsSchema(RACING, false);

/** All steps, in the order of docs/reference.md and of error messages. */
export const STEPS = [
	...[insmod, rmmod, settle, run, sleep, disable, enable, reverse, force, echo, cat, stat, sysctl],
	...[register, unregister, modify, cpu_up, cpu_down, wake, fork, exit, call, state, test, expect],
	raceOf(RACING, racingSchema),
] as const;

export type Step = StepOf<(typeof STEPS)[number]>;
export type StepKind = Step["kind"];

/** The schema of a list of steps. */
export const stepSchema = stepsSchema(STEPS, true);

/** The schemas of a step, with the steps that they accept. */
export const STEP_SCHEMAS: ReadonlyMap<unknown, readonly AnyStep[]> = new Map<unknown, readonly AnyStep[]>([
	[stepSchema, STEPS],
	[racingSchema, RACING],
]);

export function readStep(raw: RawStep, place: Place): Step {
	return readOneOf(STEPS, raw, place);
}

const definitions: ReadonlyMap<string, AnyStep> = new Map(STEPS.map((definition) => [definition.kind, definition]));

/** The definition of a step of {@link STEPS}. */
export function definitionOf(step: { readonly kind: string }): AnyStep {
	const definition = definitions.get(step.kind);
	if (definition === undefined) throw new Error(`no step is called '${step.kind}'`);
	return definition;
}

/** The step as one line, as a shell command if possible: `insmod lp1`, `echo 0 > lp3/enabled`. */
export function describeStep(step: Step): string {
	return definitionOf(step).title(step);
}

export { type AnyStep, type Driver, Outside, type Place, type RawStep, type StepBase, type StepWorld } from "./step.js";
export { STRERROR } from "./strerror.js";
export { CALL_ROUNDS } from "./tasks.js";
export { ROUNDS_LIMIT } from "./time.js";
