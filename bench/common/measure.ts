/** How times are taken: with tinybench, round by round, every case in each round. */
import { Bench } from "tinybench";

/** How long something took once. */
export interface Timed {
	readonly milliseconds: number;
	/** That, per millisecond of processor time that this process had: above 1 when others had the processor meanwhile. */
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

/** One thing to time. */
export interface Case {
	readonly name: string;
	/** Does it `units` times, checks the result, and says how many milliseconds that took. Throws on a wrong result. */
	run(units: number): number;
}

export interface RoundOptions {
	/** Milliseconds for each case in each round. */
	readonly milliseconds: number;
	readonly rounds: number;
	/** Milliseconds that one sample should take: long enough that the clock and entering the Cpu do not matter. */
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
