/** The text of klpemu explore: from which move on a violation is inevitable, and what is not as the scenario says. */
import { expect, test } from "vitest";
import { formatSchedule } from "../../../src/explore/index.js";
import { exploreTable } from "../../../src/node/cli/explore-report.js";
import type { ExploreRow } from "../../../src/node/explore-rows.js";

const moves = ["a", "b", "c"].map((who) => ({ who, steps: 1, busy: [], late: false, label: `does ${who}` }));
const schedule = formatSchedule({
	...{ scenario: "s.yaml", fingerprint: "0", design: "mainline", invariant: "warn", message: "it warns" },
	moves,
});
const row: ExploreRow = {
	...{ design: "mainline", result: "violated", invariant: "warn", message: "it warns", scheduleLength: 3 },
	...{ states: 7, transitions: 9, depth: 3, seconds: 1, asExpected: true, schedule },
};

/** The lines behind the table. */
function told(...results: readonly ExploreRow[]): string {
	const [, ...parts] = exploreTable({ schema: 1, scenario: "S", shard: "1/2", results }).split(/\n\n(?!design)/);
	return parts.join("\n\n");
}

test("the share of what breaks the invariant, at each move that changes it", () => {
	const inevitable = { after: 3, shares: [0.25, 0.25, 0.5, 1], error: 1e-6, states: 42 };
	expect(told({ ...row, inevitable })).toBe(`mainline: warn: it warns

mainline: warn is inevitable after 3 of 3 moves. Before that, if each possible move is as likely as the others, it comes
with this probability (of 42 states):
  moves  share
      0  0.2500
      2  0.5000  b: does b
      3  1       c: does c
`);
});

test("a share that is known roughly has two digits, and says so", () => {
	const inevitable = { after: 2, shares: [0.251, 0.252, 1, 1], error: 0.05, states: 42 };
	expect(told({ ...row, inevitable })).toContain(`(of 42 states; known to 0.05):
  moves  share
      0  0.25
      2  1       b: does b
`);
});

test("a violation that nothing can avoid, and one of which that is unknown", () => {
	const inevitable = { after: 0, shares: [1, 1, 1, 1], error: 0, states: 42 };
	expect(told({ ...row, inevitable })).toMatch(
		/\n\nmainline: warn is inevitable from the beginning: whatever follows, it comes \(42 states were looked at\)\n$/,
	);
	expect(told({ ...row, inevitable: { unknown: "no time" } })).toMatch(
		/\n\nmainline: warn: when it is inevitable is unknown: no time\n$/,
	);
});

test("a design that refuses the scenario, and a verdict that the scenario does not expect", () => {
	const refused = { ...row, result: "refused", invariant: null, message: null, failures: ["no key 'x'"] } as const;
	const wrong = { ...row, asExpected: false, expected: "consistent", failures: ["step 2: -EBUSY"] } as const;
	expect(told(refused, { ...wrong, file: "s.schedule" })).toBe(`mainline: refused: no key 'x'
mainline: not as the scenario says: step 2: -EBUSY
mainline: not as the scenario says: the verdict is violated, and the scenario expects consistent

mainline: warn: it warns (s.schedule)
`);
});

test("the parts of a search say which part they are", () => {
	expect(exploreTable({ schema: 1, scenario: "S", shard: "1/2", results: [row] })).toMatch(/^S, part 1\/2\n/);
	expect(exploreTable({ schema: 1, scenario: "S", preemption: "full", results: [row] })).toMatch(
		/^S · preemption full\n/,
	);
});
