/** Handler overhead: what a call of a traced function costs, in every state that livepatch can be in. */
import {
	type Absent,
	type Case,
	type Measured,
	measureRounds,
	median,
	type Part,
	type RoundOptions,
} from "../common/index.js";
import { CALL_CASES, type CallCase, Rig, type State } from "./calls.js";
import { splitInstructions, splitTimes } from "./split.js";

/** Calls for the exact counts: the difference between two runs of different length. */
const COUNTED = 64;

/** All cases of one design on one Cpu, in this process, and the split of a call that they make possible. */
export async function handler(design: string, cpu: string, options: RoundOptions): Promise<Part> {
	const rigs = await Rig.all(design, cpu);
	const rows: Measured[] = [];
	const absent: Absent[] = [];
	const present: CallCase[] = [];
	for (const each of CALL_CASES) {
		const reason = rigs.get(each.state)!.absent(each);
		const { id, what } = each;
		if (reason === undefined) present.push(each);
		else absent.push({ suite: "handler", id, what, design, cpu, unit: "ns/call", reason });
	}
	for (const each of present) rows.push(count(rigs, each, design, cpu));
	rows.push(...splitInstructions(rigs.get("steady")!, design, cpu));

	const rounds = await measureRounds(
		[LOOP, ...present].map((each) => timed(rigs, each)),
		options,
	);
	const loop = rounds.get(LOOP.id)!;
	const row = (id: string, what: string, ns: readonly number[], within: number): void => {
		rows.push({ suite: "handler", id, what, design, cpu, unit: "ns/call", value: median(ns), exact: false, within });
	};
	row(LOOP.id, LOOP.what, loop.ns, loop.within);
	for (const { id, what } of present) {
		const { ns, within } = rounds.get(id)!;
		row(
			id,
			what,
			ns.map((value, round) => value - loop.ns[round]!),
			within,
		);
	}
	rows.push(...splitTimes(rounds, design, cpu));
	for (const { machine } of rigs.values()) machine.close();
	return { rows, absent };
}

const LOOP: CallCase = {
	id: "loop",
	what: "the empty loop (taken off the rows below)",
	state: "steady",
	task: "patched",
	func: "loop",
	step: 1,
};

function timed(rigs: ReadonlyMap<State, Rig>, { id, state, task, func, step }: CallCase): Case {
	const rig = rigs.get(state)!;
	const loop = func === "loop" ? func : `loop_${func}`;
	return {
		name: id,
		run: (units) => {
			const { milliseconds, result } = rig.call(task, loop, units);
			// A wrong result would mean that something else was measured.
			if (result !== BigInt(units * step)) throw new Error(`${id}: ${units} calls give ${result}`);
			return milliseconds;
		},
	};
}

/** Guest instructions of one call, the loop's own taken off: the same every time. */
function count(
	rigs: ReadonlyMap<State, Rig>,
	{ id, what, state, task, func }: CallCase,
	design: string,
	cpu: string,
): Measured {
	const rig = rigs.get(state)!;
	const per = (loop: string) => {
		const executed = [COUNTED, 2 * COUNTED].map((n) => rig.call(task, loop, n).executed);
		return (executed[1]! - executed[0]!) / COUNTED;
	};
	const value = per(`loop_${func}`) - per("loop");
	if (!Number.isInteger(value)) throw new Error(`${id}: ${value} instructions a call`);
	return { suite: "handler", id, what, design, cpu, unit: "insns/call", value, exact: true };
}
