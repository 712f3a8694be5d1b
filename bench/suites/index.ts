/** The suites and their jobs: one process measures one job. */
import { designs } from "../../src/designs/index.js";
import { KERNEL, type Part, type RoundOptions } from "../common/index.js";
import { handler } from "./handler.js";
import { hardware } from "./hardware.js";
import { machine } from "./machine.js";
import { transitions } from "./transitions.js";

export { CALL_CASES } from "./calls.js";
export { curves } from "./transitions.js";

export const SUITES = ["handler", "transitions", "machine"] as const;
export type SuiteName = (typeof SUITES)[number];

export interface Job {
	readonly suite: SuiteName;
	readonly design: string;
	readonly cpu: string;
	readonly smoke: boolean;
}

/** Designs whose transitions differ: those with nops, and the one without. */
const TRANSITION_DESIGNS = ["mainline", "universe"];

export interface JobOptions {
	readonly suites: readonly SuiteName[];
	/** The selected ones; default all, and KERNEL if there is a core. */
	readonly designs: readonly string[];
	readonly cpus: readonly string[];
	readonly smoke: boolean;
}

/** All jobs of a pass, in the order of measuring. Unicorn runs mainline only, for comparison. */
export function jobs({ suites, designs: only, cpus, smoke }: JobOptions): Job[] {
	const out: Job[] = [];
	const add = (suite: SuiteName, design: string, cpu: string): void => {
		if (suites.includes(suite) && (cpus.includes(cpu) || cpu === "hardware")) out.push({ suite, design, cpu, smoke });
	};
	const names = designs.map(({ name }) => name).filter((name) => only.includes(name));
	for (const design of names) add("handler", design, "jit");
	if (only.includes(KERNEL)) for (const cpu of ["jit", "hardware"]) add("handler", KERNEL, cpu);
	add("handler", "mainline", "unicorn");
	add("handler", "-", "hardware");
	for (const design of names.filter((name) => TRANSITION_DESIGNS.includes(name))) add("transitions", design, "jit");
	for (const cpu of ["jit", "unicorn"]) add("machine", "mainline", cpu);
	return out;
}

function roundOptions(cpu: string, smoke: boolean): RoundOptions {
	if (smoke) return { milliseconds: 0.2, rounds: 1, sample: 0.1, warmup: 0.1 };
	// Samples of unicorn are longer, because entering it costs more.
	return { milliseconds: 10, rounds: 5, sample: cpu === "unicorn" ? 2 : 1, warmup: 150 };
}

/** Measures a job in this process. */
export async function runJob({ suite, design, cpu, smoke }: Job): Promise<Part> {
	switch (suite) {
		case "handler":
			if (cpu === "hardware") return hardware(design, smoke ? 1 : 3, smoke ? 1 : 20);
			return handler(design, cpu, roundOptions(cpu, smoke));
		case "transitions":
			return transitions(design, cpu, smoke);
		case "machine":
			return machine(design, cpu, smoke);
	}
}
