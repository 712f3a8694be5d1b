/** The same calls on the hardware itself: the native program of bench/cpu, for its rows. */

import type { Measured, Part } from "../common/index.js";
import { Native } from "../cpu/native.js";

/** Rows of bench/cpu that are cases of this suite. */
const SAME = [
	["call", "nop_site", "traced, not patched (nop at the site)"],
	["redirect", "depth1", "patched, steady, func_stack depth 1"],
] as const;

export async function hardware(rounds: number, milliseconds: number): Promise<Part> {
	const native = await Native.build();
	const key = { suite: "handler", design: "-", cpu: "hardware", unit: "ns/call", exact: false } as const;
	const samples = new Map<string, number[]>([["loop", []], ...SAME.map(([name]): [string, number[]] => [name, []])]);
	for (let i = 0; i < rounds; i++) {
		const rows = await native.rows(milliseconds);
		for (const [name, ns] of samples) ns.push(rows.get(name)!.ns);
	}
	// As for the emulated Cpus: the fastest round.
	const fastest = (name: string) => Math.min(...samples.get(name)!);
	const loop = fastest("loop");
	const rows: Measured[] = [{ ...key, id: "loop", what: "the empty loop (taken off the rows below)", value: loop }];
	for (const [name, id, what] of SAME) rows.push({ ...key, id, what, value: fastest(name) - loop });
	return { rows, absent: [] };
}
