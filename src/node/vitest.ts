/**
 * Matchers for vitest: regression tests of livepatches on real machine code.
 *
 * ```ts
 * import { machine } from "klpemu/node";
 * import { expectScenario } from "klpemu/vitest";
 * import { expect, test } from "vitest";
 *
 * test("the replacement is cheaper", async () => {
 * 	const m = await machine({ c: "long price(long x) { return x * 10; }" });
 * 	await m.livepatch({ c: "long lp_price(long x) { return x * 9; }", funcs: { price: "lp_price" } });
 * 	expect(m).toSettle();
 * 	expect(m).toReturn({ func: "price", args: [10], value: 90n });
 * 	// vitest writes what has happened into the test, and compares it from then on: no address and no time is in it.
 * 	expect(m.timeline(80)).toMatchInlineSnapshot();
 * });
 *
 * test("every schedule", () => expectScenario("price.yaml", { everySchedule: true }).toBeConsistent());
 * ```
 *
 * @module
 */
// Stays in the declarations, where the other import of vitest does not: without it, TypeScript does not merge Assertion.
import "vitest";
import { expect, vi } from "vitest";
import { KlpemuError } from "../base/index.js";
import { type GuestArgument, Session } from "./session.js";

export { expectScenario, type ScenarioExpectation, type ScenarioOptions } from "./expect-scenario.js";

/** A call of a guest function, and its result. */
export interface ExpectedCall {
	readonly func: string;
	readonly args?: readonly GuestArgument[];
	/** All 64 bits of rax, signed or unsigned. */
	readonly value: number | bigint;
	/** The task that makes the call; default: `caller`. */
	readonly task?: string;
}

/** The implementations that a task runs, by function; `task` defaults to `caller`. */
export interface ExpectedView {
	readonly task?: string;
	readonly [func: string]: string | undefined;
}

/** The matchers for a {@link Session}. */
export interface KlpemuMatchers {
	/** The task runs these implementations now: `expect(m).toSee({ task: "worker", funcA: "lp2_funcA", funcB: "original" })`. */
	toSee(view: ExpectedView): void;
	/** The transition in progress ends, within `rounds` rounds (default 10,000): `expect(m).toSettle()`. */
	toSettle(rounds?: number): void;
	/** No invariant has been broken until now, and each step has ended as expected. */
	toBeConsistent(): void;
}

declare module "vitest" {
	// biome-ignore lint/suspicious/noExplicitAny: vitest's own declaration, which this one must repeat
	interface Matchers<T = any> extends KlpemuMatchers {}
	// biome-ignore lint/suspicious/noExplicitAny: the same
	interface Assertion<T = any> {
		/** For a Session: a call returns a value: `expect(m).toReturn({ func: "price", args: [10], value: 90n })`. For a mock: as before. */
		toReturn: (call?: ExpectedCall) => void;
	}
}

interface Result {
	readonly pass: boolean;
	readonly message: () => string;
	readonly actual?: unknown;
	readonly expected?: unknown;
}

function sessionOf(received: unknown, matcher: string): Session {
	if (received instanceof Session) return received;
	throw new TypeError(`${matcher}() takes a machine of klpemu's machine(), not ${String(received)}`);
}

/** The message of a KlpemuError that `action` throws; undefined: it throws none. */
function refusal(action: () => void): string | undefined {
	try {
		action();
		return undefined;
	} catch (error) {
		if (error instanceof KlpemuError) return error.message;
		throw error;
	}
}

expect.extend({
	toSee(received: unknown, { task, ...expected }: ExpectedView): Result {
		const view = sessionOf(received, "toSee").see(task);
		const unknown = Object.keys(expected).filter((func) => !(func in view));
		const actual = Object.fromEntries(Object.keys(expected).map((func) => [func, view[func]]));
		const who = task ?? "caller";
		const pass = unknown.length === 0 && Object.keys(expected).every((func) => view[func] === expected[func]);
		const message = () =>
			unknown.length > 0
				? `no livepatch changes ${unknown.join(", ")}; task ${who} sees ${JSON.stringify(view)}`
				: `task ${who} ${pass ? "sees that" : `sees ${JSON.stringify(actual)}`}`;
		// With `not`, a function that does not exist is a mistake too.
		if (this.isNot && unknown.length > 0) throw new Error(message());
		return { pass, message, actual, expected };
	},

	toSettle(received: unknown, rounds?: number): Result {
		const session = sessionOf(received, "toSettle");
		const why = refusal(() => session.settle(rounds));
		return { pass: why === undefined, message: () => why ?? "the transition has ended" };
	},

	toReturn(received: unknown, call?: ExpectedCall): Result {
		if (vi.isMockFunction(received)) {
			const pass = received.mock.results.some(({ type }) => type === "return");
			return { pass, message: () => `the mock has ${pass ? "" : "never "}returned` };
		}
		const session = sessionOf(received, "toReturn");
		if (call === undefined) throw new TypeError("toReturn() takes { func, args, value, task }");
		const { func, args = [], value, task = "caller" } = call;
		const actual = BigInt.asIntN(64, session.callAs(task, func, ...args));
		const expected = BigInt.asIntN(64, BigInt(value));
		const message = () => `${func}(${args.join(", ")}) in task ${task} returns ${actual}`;
		return { pass: actual === expected, message, actual, expected };
	},

	toBeConsistent(received: unknown): Result {
		const session = sessionOf(received, "toBeConsistent");
		const { verdict, failures } = session.report();
		return { pass: verdict === "consistent" && failures.length === 0, message: () => session.timeline() };
	},
});
