/** Making a schedule shorter, with a replay that only knows which moves break the invariant. */
import { describe, expect, test } from "vitest";
import { KlpemuError } from "../../src/base/index.js";
import { type Move, minimise, type Replayer } from "../../src/explore/index.js";

const moves = (names: string): Move[] =>
	[...names].map((who) => ({ who, steps: 1, busy: [], late: false, label: who }));
const names = (list: readonly Move[]) => list.map(({ who }) => who).join("");

/** `ends`: where a schedule breaks the invariant, or a negative number if it does not. It may throw. */
function replayer(ends: (schedule: string) => number): { readonly it: Replayer; readonly tried: string[] } {
	const tried: string[] = [];
	const replay = (schedule: readonly Move[], invariants: ReadonlySet<string>) => {
		tried.push(names(schedule));
		const end = ends(names(schedule));
		const done = end < 0 ? schedule : schedule.slice(0, end + 1);
		return done.map((move, at) => ({ move, broken: at === end ? [...invariants] : [] }));
	};
	return { it: { replay } as unknown as Replayer, tried };
}

describe("moves that the violation does not need are taken out", () => {
	test("all of them, in one pass from the end or in several", () => {
		// x must be before y; z is only possible without w.
		const { it } = replayer((text) => (/x.*y/.test(text) ? text.indexOf("y") : -1));
		expect(names(minimise(it, moves("axbcyd"), "mixed-universe"))).toBe("xy");
	});

	test("a move that can be taken out only after another one", () => {
		const { it, tried } = replayer((text) => {
			if (text.includes("b") && !text.includes("a")) throw new KlpemuError("REPLAY_IMPOSSIBLE", "b needs a");
			return text.indexOf("z");
		});
		expect(names(minimise(it, moves("abz"), "mixed-universe"))).toBe("z");
		// The last pass changes nothing.
		expect(tried.at(-1)).toBe("");
	});

	test("nothing, if each of them is needed", () => {
		const { it } = replayer((text) => (text === "abc" ? 2 : -1));
		expect(names(minimise(it, moves("abc"), "mixed-universe"))).toBe("abc");
	});

	test("those behind the violation go with it, if it comes earlier now", () => {
		const { it } = replayer((text) => (text === "bcd" ? 0 : text === "abcd" ? 3 : -1));
		expect(names(minimise(it, moves("abcd"), "mixed-universe"))).toBe("b");
	});
});

test.each(["stuck", "deadlock"] as const)("%s: as it is, because a replay cannot see it", (invariant) => {
	const { it, tried } = replayer(() => 0);
	expect([names(minimise(it, moves("abc"), invariant)), tried]).toEqual(["abc", []]);
});

test("an error of klpemu itself is not a move that is impossible", () => {
	const { it } = replayer(() => {
		throw new TypeError("a mistake");
	});
	expect(() => minimise(it, moves("ab"), "mixed-universe")).toThrow("a mistake");
});
