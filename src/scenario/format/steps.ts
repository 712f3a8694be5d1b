import { type RawStep, readStep, type Step } from "../steps/index.js";
import type { Expectation } from "../types.js";
import type { Names } from "./names.js";
import { DocumentPlace } from "./place.js";

/** The steps of a scenario, in order: `fork` adds tasks that later steps may name, `exit` ends them. */
export function readSteps(list: readonly RawStep[], names: Names): Step[] {
	const steps: Step[] = [];
	for (const [index, raw] of list.entries()) {
		const place = new DocumentPlace(names, ["steps", index]);
		const step = readStep(raw, place);
		if (step.kind === "expect") expectErrno(step.expect, steps, place);
		steps.push(step);
	}
	return steps;
}

/** `expect: { errno }` applies to the step before it, which needs the errno when it runs. */
function expectErrno({ errno, designs }: Expectation, steps: Step[], place: DocumentPlace): void {
	if (errno === undefined) return;
	const at = place.key("expect", "errno");
	const target = steps.findLastIndex((step) => step.kind !== "expect");
	const step = steps[target];
	if (step === undefined) throw at.error("SCENARIO_EXPECT", "there is no step before this errno");
	if (designs !== undefined) {
		const more = designs.map((design): [string, number] => [design, errno]);
		steps[target] = { ...step, errnoByDesign: new Map([...step.errnoByDesign, ...more]) };
	} else if (step.errno !== 0 && step.errno !== errno) {
		throw at.error("SCENARIO_EXPECT", `the step before already expects errno ${step.errno}`, "say it once");
	} else steps[target] = { ...step, errno };
}
