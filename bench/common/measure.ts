/** Measures times with tinybench, round by round, every case in each round. */
import { Bench } from "tinybench";

/** The time of one run. */
export interface Timed {
	readonly milliseconds: number;
	/** The time per millisecond of this process's processor time: above 1 if other processes used the processor. */
	readonly crowding: number;
}

export function timed(run: () => void): Timed {
	const before = process.cpuUsage();
	const start = performance.now();
	run();
	const milliseconds = performance.now() - start;
	const { user, system } = process.cpuUsage(before);
	return { milliseconds, crowding: (1000 * milliseconds) / (user + system) };
}

/** One case to measure. */
export interface Case {
	readonly name: string;
	/** Runs the case `units` times, checks the result, and returns the milliseconds. Throws on a wrong result. */
	run(units: number): number;
}

export interface RoundOptions {
	/** Milliseconds for each case in each round. */
	readonly milliseconds: number;
	readonly rounds: number;
	/** Milliseconds of one sample: long enough that the clock and the entry into the Cpu do not matter. */
	readonly sample: number;
	readonly warmup: number;
}

/**
 * Nanoseconds per unit by case: the median of the samples of the fastest round, which others disturbed least, and how far apart
 * its samples lie.
 */
export type Rounds = ReadonlyMap<string, { readonly ns: number; readonly within: number }>;

/**
 * Times the cases in turn: a change of the machine's speed meets all of them. Warm-up comes first and is not counted. It also
 * finds how many units make a sample.
 */
export async function measureRounds(cases: readonly Case[], options: RoundOptions): Promise<Rounds> {
	const units = new Map(cases.map((each) => [each.name, warmUp(each, options)]));
	const ns = new Map<string, number[]>(cases.map(({ name }) => [name, []]));
	const within = new Map<string, number[]>(cases.map(({ name }) => [name, []]));
	for (let round = 0; round < options.rounds; round++) {
		const bench = new Bench({ time: options.milliseconds, iterations: 4, warmup: false, throws: true });
		// Every other round the other way round: no case always comes after the same one.
		for (const each of round % 2 === 0 ? cases : [...cases].reverse()) {
			const count = units.get(each.name)!;
			bench.add(
				each.name,
				() => {
					const took = each.run(count);
					return { overriddenDuration: took / count, overriddenIterationCost: took };
				},
				{ async: false },
			);
		}
		for (const task of bench.runSync()) {
			const { result } = task;
			if (result.state !== "completed") throw new Error(`${task.name} is ${result.state}`);
			ns.get(task.name)!.push(result.latency.p50 * 1e6);
			within.get(task.name)!.push((result.latency.p75 - result.latency.min) / result.latency.p50);
		}
	}
	const result = (name: string) => {
		const fastest = Math.min(...ns.get(name)!);
		return { ns: fastest, within: within.get(name)![ns.get(name)!.indexOf(fastest)]! };
	};
	return new Map(cases.map(({ name }) => [name, result(name)]));
}

/** Runs a case until it is warm; the units of a sample. */
function warmUp(each: Case, { sample, warmup }: RoundOptions): number {
	let units = 8;
	for (let total = 0; ; ) {
		const took = each.run(units);
		total += took;
		if (took < sample) units *= 2;
		else if (total >= warmup) return units;
	}
}
