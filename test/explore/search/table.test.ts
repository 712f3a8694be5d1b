import { expect, test } from "vitest";
import { Random } from "../../../src/base/index.js";
import { statesWithoutEnd } from "../../../src/explore/search/stuck.js";
import { Numbers, Table } from "../../../src/explore/search/table.js";

test.each([3, 4, 9, 10])("each row of %i numbers is stored once, and read as it was added", (width) => {
	const random = new Random(1n);
	const table = new Table(width);
	const known = new Map<string, number>();
	const rows: Int32Array[] = [];
	for (let i = 0; i < 20_000; i++) {
		// As in a search, most rows differ from the one before in one number.
		const row = i % 8 === 0 ? new Int32Array(width) : rows[rows.length - 1]!.slice();
		row[random.below(width)] = random.below(30) * 0x1234567;
		const number = known.get(row.join());
		expect(table.add(row)).toBe(number ?? -rows.length - 1);
		if (number !== undefined) continue;
		known.set(row.join(), rows.length);
		rows.push(row);
	}
	expect(table.length).toBe(rows.length);
	expect(rows.length).toBeGreaterThan(5_000);
	const into = new Int32Array(width);
	for (const [number, row] of rows.entries()) {
		table.read(number, into);
		expect(into).toEqual(row);
		expect(table.first(number)).toBe(row[0]);
	}
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
	const list = (...values: number[]) => {
		const numbers = new Numbers();
		for (const value of values) numbers.push(value);
		return numbers;
	};
	// 0 -> 1 -> 2, 0 -> 3 -> 4 -> 5, and to known states: 2 -> 1, 5 -> 3, 4 -> 2.
	const parents = list(-1, 0, 1, 0, 3, 4);
	const doomed = (others: Numbers, end: number) => {
		const ends = Uint8Array.from({ length: 6 }, (_, state) => Number(state === end));
		return [...statesWithoutEnd({ parents, others }, ends)];
	};
	expect(doomed(list(2, 1, 5, 3, 4, 2), 1)).toEqual([]);
	expect(doomed(list(2, 1, 5, 3), 1)).toEqual([3, 4, 5]);
	expect(doomed(list(2, 1, 5, 3, 4, 2), 5)).toEqual([1, 2]);
});
