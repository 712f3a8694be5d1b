/** Helpers of a search: what others execute gives the same exploration, however many they are, and whatever becomes of them. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { INVARIANTS } from "../../src/consistency/index.js";
import {
	type FollowRequest,
	type Helper,
	type HelperAnswer,
	type HelperPort,
	type HelperRequest,
	Helpers,
	Journal,
	RemoteFollower,
	type SearchOptions,
} from "../../src/explore/index.js";
import { nodeHost } from "../../src/node/index.js";
import { createHelper, exploreScenario, parseScenario } from "../../src/scenario/index.js";
import { LONG, longTest } from "../support/sample.js";
import { PATCHES } from "./support.js";

const folder = mkdtempSync(join(tmpdir(), "klpemu-helpers-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** `answers`: after so many, a helper has ended. */
interface Helping {
	readonly count: number;
	readonly answers?: number;
	/** From so many states in a level on they follow known moves. */
	readonly level?: number;
	/** Other options of the search. */
	readonly more?: Partial<SearchOptions>;
}

/** Steps that helpers have executed in the last exploration, and parts of work of which they have followed the known moves. */
interface Made {
	round: number;
	steps: number;
	parts: number;
}

/** A helper without a thread: it works when the search pauses. */
class Port implements HelperPort {
	readonly isReady = true;
	onAnswer: HelperPort["onAnswer"] = () => undefined;
	readonly #helper: Helper;
	readonly #made: Made;
	#left: number;
	/** What has been asked and not taken. */
	readonly #requests: HelperRequest[] = [];
	#isAtWork = false;
	readonly #follower = new RemoteFollower();

	constructor(helper: Helper, made: Made, left = Number.POSITIVE_INFINITY) {
		this.#helper = helper;
		this.#made = made;
		this.#left = left;
	}

	start(): void {}

	/** They come when the search pauses. */
	poll(): void {}

	/** Does all of it before the search does anything; or ends when it has taken the first part. */
	follow(request: FollowRequest): Promise<boolean | undefined> {
		const sent = structuredClone(request);
		if (this.#left <= 0) Atomics.add(sent.work.parts, 0, 1);
		if (this.#left-- <= 0) return Promise.resolve(undefined);
		this.#made.parts += sent.work.parts.length - 1;
		return Promise.resolve(this.#follower.take(sent));
	}

	/** Whatever a thread gets and gives goes through structuredClone(). */
	ask(request: HelperRequest): void {
		this.#requests.push(structuredClone(request));
		if (!this.#isAtWork) void this.#work();
	}

	async #work(): Promise<void> {
		this.#isAtWork = true;
		for (;;) {
			await new Promise((resolve) => setImmediate(resolve));
			for (const request of this.#requests.splice(0)) this.#helper.ask(request);
			const answer = this.#helper.answer();
			if (answer === undefined) {
				if (this.#helper.work() || this.#requests.length > 0) continue;
				break;
			}
			if (this.#left-- <= 0) this.onAnswer(undefined);
			if (this.#left < 0) return;
			// What was taken is counted by exploration, too: one that begins again has taken nothing yet.
			if (answer.round > this.#made.round) Object.assign(this.#made, { round: answer.round, steps: 0 });
			if (answer.round === this.#made.round) this.#made.steps += answer.steps.length;
			this.onAnswer(structuredClone<HelperAnswer>(answer));
		}
		this.#isAtWork = false;
	}
}

async function explore(
	yaml: string,
	sources: Readonly<Record<string, string>>,
	{ count, answers, level, more }: Helping,
) {
	for (const [name, text] of Object.entries(sources)) writeFileSync(join(folder, name), text);
	const file = join(folder, "s.yaml");
	const scenario = parseScenario(`title: t\n${yaml}`, file);
	const machine = { host: nodeHost(file) };
	const made = { round: 0, steps: 0, parts: 0 };
	const ports = await Promise.all(
		Array.from({ length: count }, async () => new Port(await createHelper(scenario, machine), made, answers)),
	);
	const helpers = new Helpers(ports, { after: 0, level: level ?? Number.POSITIVE_INFINITY });
	const { exploration, schedules, steps } = await exploreScenario({
		...{ scenario, machine, helpers, budget: 1_500, invariants: new Set(INVARIANTS), all: true, reduction: true },
		...more,
	});
	const { executed, ...found } = exploration;
	return { found: { ...found, schedules, steps }, executed, made, taken: helpers.executions?.taken ?? 0 };
}

const TWO_PATCHES = `${PATCHES}
tasks: { worker: { calls: [funcA] } }
steps: [insmod: lp1, insmod: lp3, settle]
`;
const ONE_PATCH = TWO_PATCHES.replace("insmod: lp3, ", "");
const FORKS = `vmlinux: [asm/vmlinux/funcs.c]
livepatches: { lp1: { sources: [asm/livepatches/lp1.c], funcs: { funcA: lp1_funcA } } }
tasks: { worker: { calls: [funcA], fork: true } }
steps: [insmod: lp1, settle, disable: lp1]
`;
const CLAIMS = `#include <linux/kernel.h>
#include <linux/module.h>
extern long claims;
static int claim(void)
{
	if (READ_ONCE(claims) == 0) { WRITE_ONCE(claims, READ_ONCE(claims) + 1); WARN_ON(READ_ONCE(claims) != 1); }
	return 0;
}
module_init(claim);
MODULE_LICENSE("GPL");
`;
const RACE = `vmlinux: [asm/vmlinux/funcs.c, shared.c]
modules: { one: { sources: [one.c] }, two: { sources: [two.c] } }
steps: [race: [[insmod: one], [insmod: two]]]
`;
const SOURCES = { "shared.c": "long claims;\n", "one.c": CLAIMS, "two.c": CLAIMS };

type Case = [name: string, yaml: string, sources: Readonly<Record<string, string>>, counts: number[]];
const MORE: Case[] = [
	["two livepatches", TWO_PATCHES, {}, [1, 3]],
	["a task forks while its livepatch goes", FORKS, {}, [2]],
	["modules in C race for a word", RACE, SOURCES, [2]],
];

test.each<Case>([["one livepatch", ONE_PATCH, {}, [2]], ...(LONG ? MORE : [])])(
	"%s: helpers find what a search finds alone",
	async (_, yaml, sources, counts) => {
		const alone = await explore(yaml, sources, { count: 0 });
		expect(alone.taken).toBe(0);
		for (const count of counts) {
			const helped = await explore(yaml, sources, { count });
			expect(helped.found).toEqual(alone.found);
			// A good part was executed by helpers, and most of that was needed.
			expect(helped.taken / helped.executed.kernel).toBeGreaterThan(0.25);
			expect(helped.taken / helped.made.steps).toBeGreaterThan(0.75);
		}
	},
);

longTest("a checkpoint, and a part of a search, with helpers: as without", async () => {
	const alone = await explore(ONE_PATCH, {}, { count: 0 });
	const first = new Journal();
	const begun = await explore(ONE_PATCH, {}, { count: 2, level: 2, more: { budget: 200, journal: first } });
	expect(begun.found.result).toBe("bounded");
	const more = { journal: new Journal(structuredClone(first.checkpoint())) };
	expect((await explore(ONE_PATCH, {}, { count: 2, level: 2, more })).found).toEqual(alone.found);
	const part = { shard: { index: 0, count: 2 } };
	const [one, two] = [
		await explore(ONE_PATCH, {}, { count: 0, more: part }),
		await explore(ONE_PATCH, {}, { count: 2, more: part }),
	];
	expect(two.found).toEqual(one.found);
	expect(two.taken).toBeGreaterThan(0);
});

test("a helper that ends in the middle is not missed", async () => {
	const alone = await explore(ONE_PATCH, {}, { count: 0 });
	for (const answers of LONG ? [0, 5] : [5]) {
		const helped = await explore(ONE_PATCH, {}, { count: 2, answers });
		expect(helped.found).toEqual(alone.found);
		expect(helped.taken > 0).toBe(answers > 0);
	}
});

test.each<Case>([["one livepatch", ONE_PATCH, {}, [1]], ...(LONG ? MORE : [])])(
	"%s: helpers that follow known moves find what a search finds alone",
	async (_, yaml, sources, counts) => {
		const alone = await explore(yaml, sources, { count: 0 });
		for (const count of counts) {
			const helped = await explore(yaml, sources, { count, level: 2 });
			expect(helped.found).toEqual(alone.found);
			expect(helped.made.parts).toBeGreaterThan(10);
		}
		// Each port ends with a part that it has taken.
		const ended = await explore(yaml, sources, { count: 3, level: 2, answers: 3 });
		expect(ended.found).toEqual(alone.found);
	},
);

const polls = (flag: number) => `#include <linux/compiler.h>
#include <linux/processor.h>
long flag = ${flag};
noinline long reader(long x)
{
	while (!READ_ONCE(flag))
		cpu_relax();
	return x;
}
`;
const POLLS = `vmlinux: [asm/vmlinux/funcs.c, polls.c]
livepatches: { lp1: { sources: [asm/livepatches/lp1.c], funcs: { funcA: lp1_funcA } } }
tasks: { worker: { calls: [reader] } }
steps: [insmod: lp1, settle]
`;

test.each([
	[0, ["stuck"]],
	[1, []],
])("helpers look for ways to an end: flag = %i", async (flag, invariants) => {
	const sources = { "polls.c": polls(flag) };
	const more = { budget: 20_000 };
	const alone = await explore(POLLS, sources, { count: 0, more });
	expect(alone.found.result).toBe(invariants.length > 0 ? "violated" : "complete");
	const helped = await explore(POLLS, sources, { count: 1, level: Number.POSITIVE_INFINITY, more });
	expect(helped.found).toEqual(alone.found);
	expect(helped.found.violations.map(({ broken }) => broken.invariant)).toEqual(invariants);
	expect(helped.made.parts).toBeGreaterThan(0);
});
