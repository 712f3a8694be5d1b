/**
 * The same calls on the hardware itself: the native programs of bench/cpu, for their rows. Under the design KERNEL it is the kernel's own
 * handler and trampoline that redirect.
 */
import { coreFile, KERNEL, kernelCore, type Measured, type Part } from "../common/index.js";
import { Native } from "../cpu/native.js";
import { CALL_CASES } from "./calls.js";

/** Rows of bench/cpu that are cases of this suite, and what a call adds to the result. */
const SAME = [
	["call", "nop_site", 1],
	["redirect", "depth1", 2],
] as const;
/** The further ones of the kernel's own code. An unpatching transition is the same to it. */
const TRANSITION = [
	["patched", "patching/patched", 2],
	["previous", "patching/previous", 2],
	["original", "patching/original", 1],
	["nop", "replace/patched", 1],
] as const;

async function program(design: string): Promise<Native> {
	if (design !== KERNEL) return Native.build();
	const core = await kernelCore();
	if (core === undefined) throw new Error("there is no core: npm run build:kernel-core");
	return Native.buildKernel(core, coreFile());
}

export async function hardware(design: string, rounds: number, milliseconds: number): Promise<Part> {
	const native = await program(design);
	const key = { suite: "handler", design, cpu: "hardware", unit: "ns/call", exact: false } as const;
	const cases = design === KERNEL ? [...SAME, ...TRANSITION] : SAME;
	const samples = new Map<string, number[]>([["loop", []], ...cases.map(([name]): [string, number[]] => [name, []])]);
	for (let i = 0; i < rounds; i++) {
		const rows = await native.rows(milliseconds);
		for (const [name, ns] of samples) ns.push(rows.get(name)!.ns);
		const one = rows.get("call")!.result;
		for (const [name, , step] of cases) {
			const { result } = rows.get(name)!;
			if (result !== BigInt(step) * one)
				throw new Error(`${name} on the hardware gives ${result}, not ${step} * ${one}`);
		}
	}
	// As for the emulated Cpus: the fastest round.
	const fastest = (name: string) => Math.min(...samples.get(name)!);
	const loop = fastest("loop");
	const rows: Measured[] = [{ ...key, id: "loop", what: "the empty loop (taken off the rows below)", value: loop }];
	for (const [name, id] of cases) {
		const { what } = CALL_CASES.find((each) => each.id === id)!;
		rows.push({ ...key, id, what, value: fastest(name) - loop });
	}
	return { rows, absent: [] };
}
