/** Which accesses are in conflict, so that the explorer stops before them. */
import { expect, test } from "vitest";
import { Conflicts } from "../../../src/explore/world/conflicts.js";

const WORD = 0x80400000 | 0;
const BYTES = 8;
type Kind = "r" | "R" | "w" | "W";
const args = (kind: Kind) => [/w/i.test(kind), /[A-Z]/.test(kind)] as const;

/** The kinds that are points, of the accesses by two actors and by one. */
function points(first: Kind, second: Kind, others: readonly [number, number] = [0, 1]): string[] {
	const conflicts = new Conflicts();
	conflicts.add(others[0], WORD, BYTES, ...args(first));
	conflicts.add(others[1], WORD, BYTES, ...args(second));
	conflicts.begin();
	return (["r", "R", "w", "W"] as const).filter((kind) => conflicts.isPoint(WORD + 4, 1, ...args(kind)));
}

test.each<[Kind, Kind, string[]]>([
	["r", "r", []],
	["R", "r", []],
	["W", "R", []],
	["W", "W", []],
	["W", "r", ["r", "W"]],
	["w", "R", ["R", "w"]],
	["w", "w", ["w"]],
	["w", "W", ["w", "W"]],
])("%s and %s, by two: %j", (first, second, expected) => {
	expect(points(first, second)).toEqual(expected);
	expect(points(second, first)).toEqual(expected);
	expect(points(first, second, [3, 3])).toEqual([]);
});

test("two of three kinds are in conflict, and the third is none", () => {
	const conflicts = new Conflicts();
	expect(conflicts.add(0, WORD, BYTES, ...args("R"))).toBe(false);
	expect(conflicts.add(0, WORD, BYTES, ...args("W"))).toBe(false);
	expect(conflicts.add(1, WORD, BYTES, ...args("r"))).toBe(true);
	expect(conflicts.add(1, WORD, BYTES, ...args("r"))).toBe(false);
	conflicts.begin();
	expect(conflicts.isPoint(WORD, BYTES, ...args("R"))).toBe(false);
	expect(conflicts.points()).toEqual(["80400000+8:rW"]);
});

test("neighbours of a byte are not in conflict; what an earlier exploration has found is known", () => {
	const conflicts = new Conflicts();
	expect(conflicts.addPoint("80400002+1:rW")).toBe(true);
	expect(conflicts.addPoint("kmalloc")).toBe(false);
	conflicts.begin();
	expect(conflicts.isPoint(WORD + 3, 1, ...args("r"))).toBe(false);
	expect(conflicts.isPoint(WORD, BYTES, ...args("r"))).toBe(true);
	expect(conflicts.points()).toEqual(["80400002+1:rW"]);
	const old = new Conflicts();
	// A schedule of before has words without their kinds.
	expect(old.addPoint("80400000")).toBe(true);
	old.begin();
	expect(old.points()).toEqual(["80400000+8:rRwW"]);
});
