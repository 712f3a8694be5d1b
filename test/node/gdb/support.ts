import { expect } from "vitest";
import { type Capture, capture } from "../../../src/node/gdb/capture.js";
import { createScenarioMachine, type RunScenarioOptions, runOn, type Scenario } from "../../../src/scenario/index.js";

/** The machines at these positions of one run from the start, on a machine that is never restored. */
export async function capturesOf(
	scenario: Scenario,
	options: RunScenarioOptions,
	positions: readonly number[],
): Promise<Map<number, Capture>> {
	const { machine, objects } = await createScenarioMachine(scenario, options);
	const found = new Map<number, Capture>();
	let position = 0;
	const event = (executing: boolean) => {
		if (positions.includes(position)) found.set(position, capture(machine, position, executing));
		position++;
	};
	const recorder = {
		attach: () => void machine.observe({ instruction: () => event(true) }),
		beginStep: () => event(false),
		endStep: () => {},
		violation: () => {},
	};
	try {
		await runOn(machine, objects, scenario, { ...options, recorder });
		event(false);
		return found;
	} finally {
		machine.close();
	}
}

/** Registers, memory, dmesg, and the state of livepatch. */
export function expectSame(a: Capture, b: Capture): void {
	expect(a.position).toBe(b.position);
	expect([a.klp, a.stacks, a.dmesg, a.thread]).toEqual([b.klp, b.stacks, b.dmesg, b.thread]);
	expect(a.threads).toEqual(b.threads);
	const memory = ({ regions }: Capture) =>
		regions.map(({ start, bytes }) => `${start} ${Buffer.from(bytes).toString("base64")}`);
	expect(memory(a).sort()).toEqual(memory(b).sort());
}
