/** Handler overhead: the cost of a call of a traced function in every state of livepatch. */
import { type Absent, type Case, type Measured, measureRounds, type Part, type RoundOptions } from "../common/index.js";
import { CALL_CASES, type CallCase, LOOP, Rig } from "./calls.js";
import { splitInstructions, splitTimes } from "./split.js";

/** Calls for the exact counts: the difference between two runs of different length. */
const COUNTED = 64;

/** All cases of one design on one Cpu, in this process, and the split of a call that they make possible. */
export async function handler(design: string, cpu: string, options: RoundOptions): Promise<Part> {
	const rows: Measured[] = [];
	const absent: Absent[] = [];
	const present = new Map<CallCase, Rig>();
	for (const each of [LOOP, ...CALL_CASES]) {
		const rig = await Rig.create(each, design, cpu);
		const reason = rig.absent();
		if (reason === undefined) present.set(each, rig);
		else {
			absent.push({ suite: "handler", id: each.id, what: each.what, design, cpu, unit: "ns/call", reason });
			rig.machine.close();
		}
	}
	for (const [each, rig] of present) {
		if (each !== LOOP) rows.push(count(rig, each, design, cpu));
		if (each.id === "depth1") rows.push(...splitInstructions(rig, design, cpu));
	}

	const rounds = await measureRounds(
		[...present].map(([each, rig]) => timed(rig, each)),
		options,
	);
	const loop = rounds.get(LOOP.id)!;
	for (const each of present.keys()) {
		const { ns, within } = rounds.get(each.id)!;
		const value = each === LOOP ? ns : ns - loop.ns;
		const key = { suite: "handler", id: each.id, what: each.what, design, cpu, unit: "ns/call" } as const;
		rows.push({ ...key, value, exact: false, within });
	}
	rows.push(...splitTimes(rounds, design, cpu));
	for (const { machine } of present.values()) machine.close();
	return { rows, absent };
}

function timed(rig: Rig, { id, step }: CallCase): Case {
	return {
		name: id,
		run: (units) => {
			const { milliseconds, result } = rig.call(units);
			// A wrong result would mean that another path was measured.
			if (result !== BigInt(units * step)) throw new Error(`${id}: ${units} calls give ${result}`);
			return milliseconds;
		},
	};
}

/** Guest instructions of one call, without those of the loop: the same every time. */
function count(rig: Rig, { id, what }: CallCase, design: string, cpu: string): Measured {
	const per = (loop?: string) => {
		const executed = [COUNTED, 2 * COUNTED].map((n) => rig.call(n, loop).executed);
		return (executed[1]! - executed[0]!) / COUNTED;
	};
	const value = per() - per("loop");
	if (!Number.isInteger(value)) throw new Error(`${id}: ${value} instructions a call`);
	return { suite: "handler", id, what, design, cpu, unit: "insns/call", value, exact: true };
}
