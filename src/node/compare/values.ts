import { describeStep, type Scenario, type Step } from "../../scenario/index.js";
import type { Transcript, TranscriptCommand } from "./transcript.js";

/** A value that the scenario expects of a step, and the real kernel's. */
export interface RecordedValue {
	readonly at: string;
	readonly what: string;
	readonly expected: string;
	readonly real: string;
}

/** The values of the steps call, cat and stat that a kit has recorded. */
export function valuesOf({ steps }: Scenario, transcript: Transcript): RecordedValue[] {
	const commands = commandsBySteps(transcript);
	return steps.flatMap((step, index) => {
		const expected = expectedOf(step);
		const command = commands.get(index + 1)?.[0];
		if (expected === undefined || command === undefined) return [];
		const at = `step ${index + 1}: ${describeStep(step)}`;
		return [{ at, ...expected, real: realOf(step, command) }];
	});
}

function expectedOf(step: Step): { readonly what: string; readonly expected: string } | undefined {
	// Without arguments a function gets the task's pid, which is another one there.
	if (step.kind === "call" && step.value !== undefined && step.args !== undefined) {
		return { what: "value", expected: String(BigInt.asIntN(64, step.value)) };
	}
	if (step.kind === "cat" && step.value !== undefined) return { what: "value", expected: step.value };
	if (step.kind === "stat") return { what: "rights", expected: step.rights };
	return undefined;
}

function realOf({ kind }: Step, { output }: TranscriptCommand): string {
	if (kind !== "call") return output.join("\n");
	const value = output.find((line) => line.startsWith("value="));
	return value?.slice("value=".length) ?? "(nothing)";
}

/** The commands of each step of a kit, by its number. */
function commandsBySteps({ events, kit }: Transcript): ReadonlyMap<number, readonly TranscriptCommand[]> {
	const found = new Map<number, TranscriptCommand[]>();
	let open: TranscriptCommand[] = [];
	for (const event of kit ? events : []) {
		if (event.kind === "command") open.push(event);
		if (event.kind !== "heading") continue;
		open = [];
		const step = /^step (\d+):/.exec(event.title)?.[1];
		if (step !== undefined) found.set(Number(step), open);
	}
	return found;
}
