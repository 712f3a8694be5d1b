import { expect, test } from "vitest";
import { Random } from "../../../src/base/index.js";
import { Numbers } from "../../../src/explore/search/numbers.js";
import { StateTable } from "../../../src/explore/search/state-table.js";
import { statesWithoutEnd } from "../../../src/explore/search/stuck.js";
import { LONG } from "../../support/sample.js";

const ROWS = LONG ? 20_000 : 4000;

test.each([2, 3, 4, 9, 10])("each row of %i numbers is stored once, and read as it was added", (width) => {
	const random = new Random(1n);
	const table = new StateTable(width);
	const known = new Map<string, number>();
	const rows: Int32Array[] = [];
	let like = table.whole();
	for (let i = 0; i < ROWS; i++) {
		// As in a search, most rows differ from the one before in one number.
		const whole = i % 8 === 0 ? table.whole().fill(0) : like.slice();
		whole[random.below(width)] = random.below(200) * 0x1234567;
		const row = whole.slice(0, width);
		const number = known.get(row.join());
		expect(table.add(whole, like)).toBe(number ?? -rows.length - 1);
		if (number === undefined) {
			known.set(row.join(), rows.length);
			rows.push(row);
		} else {
			expect(table.find(whole, like)).toBe(number);
		}
		like = table.whole();
		table.read(known.get(row.join())!, like);
	}
	expect(table.length).toBe(rows.length);
	expect(rows.length).toBeGreaterThan(ROWS / 4);
	const into = table.whole();
	for (const [number, row] of rows.entries()) {
		table.read(number, into);
		expect(into.subarray(0, width)).toEqual(row);
		expect(table.first(number)).toBe(row[0]);
	}
	if (LONG && width === 9) expect(table.bytes / rows.length).toBeLessThan(60);
});

test("a list of numbers grows over its chunks", () => {
	const numbers = new Numbers();
	for (let i = 0; i < 10_000; i++) numbers.push(i * i);
	numbers.add(9_999, 1);
	numbers.add(12_000, 5);
	expect([0, 1, 4_095, 4_096, 9_999, 10_000, 12_000, 12_001].map((index) => numbers.at(index))).toEqual([
		...[0, 1, 4_095 ** 2, 4_096 ** 2, 9_999 ** 2 + 1],
		...[0, 5, 0],
	]);
	expect(numbers.length).toBe(12_001);
});

test("the states from which no end can be reached are found along all moves", () => {
	const doomed = (moves: string, end: number) => {
		const list = moves.split(" ").map((move) => move.split(">").map(Number));
		const ends = Uint8Array.from({ length: 6 }, (_, state) => Number(state === end));
		return statesWithoutEnd(ends, (state, marked) => list.some(([from, to]) => from === state && marked[to!] === 1));
	};
	expect(doomed("0>1 1>2 0>3 3>4 4>5 2>1 5>3 4>2", 1)).toEqual([]);
	expect(doomed("0>1 1>2 0>3 3>4 4>5 2>1 5>3", 1)).toEqual([3, 4, 5]);
	expect(doomed("0>1 1>2 0>3 3>4 4>5 2>1 5>3 4>2", 5)).toEqual([1, 2]);
});
