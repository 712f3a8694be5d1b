/** The same calls on the hardware itself: bench/cpu's native program, for the rows that it has. */

import { type Measured, median, type Part } from "../common/index.js";
import { Native } from "../cpu/native.js";

/** Rows of bench/cpu that are cases of ours. */
const SAME = [
	["call", "nop_site", "traced, not patched (nop at the site)"],
	["redirect", "depth1", "patched, steady, func_stack depth 1"],
] as const;

export async function hardware(rounds: number, milliseconds: number): Promise<Part> {
	const native = await Native.build();
	const key = { suite: "handler", design: "-", cpu: "hardware", unit: "ns/call", exact: false } as const;
	const loop: number[] = [];
	const net = new Map<string, number[]>(SAME.map(([name]) => [name, []]));
	for (let i = 0; i < rounds; i++) {
		const rows = await native.rows(milliseconds);
		const { ns } = rows.get("loop")!;
		loop.push(ns);
		for (const [name, samples] of net) samples.push(rows.get(name)!.ns - ns);
	}
	const rows: Measured[] = [
		{ ...key, id: "loop", what: "the empty loop (taken off the rows below)", value: median(loop) },
	];
	for (const [name, id, what] of SAME) rows.push({ ...key, id, what, value: median(net.get(name)!) });
	return { rows, absent: [] };
}
