/**
 * The same calls on the hardware itself: the native programs of bench/cpu, for their rows. Under the design KERNEL it is the kernel's own
 * handler and trampoline that redirect.
 */
import { coreFile, KERNEL, kernelCore, type Measured, type Part } from "../common/index.js";
import { Native } from "../cpu/native.js";

/** Rows of bench/cpu that are cases of this suite, and what a call adds to the result. */
const SAME = [
	["call", "nop_site", "traced, not patched (nop at the site)"],
	["redirect", "depth1", "patched, steady, func_stack depth 1"],
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
	const samples = new Map<string, number[]>([["loop", []], ...SAME.map(([name]): [string, number[]] => [name, []])]);
	for (let i = 0; i < rounds; i++) {
		const rows = await native.rows(milliseconds);
		for (const [name, ns] of samples) ns.push(rows.get(name)!.ns);
		// A call of the original adds 1, one of the replacement 2.
		const [call, redirect] = SAME.map(([name]) => rows.get(name)!.result);
		if (redirect !== 2n * call!)
			throw new Error(`redirected calls on the hardware give ${redirect}, not ${2n * call!}`);
	}
	// As for the emulated Cpus: the fastest round.
	const fastest = (name: string) => Math.min(...samples.get(name)!);
	const loop = fastest("loop");
	const rows: Measured[] = [{ ...key, id: "loop", what: "the empty loop (taken off the rows below)", value: loop }];
	for (const [name, id, what] of SAME) rows.push({ ...key, id, what, value: fastest(name) - loop });
	return { rows, absent: [] };
}
