import { describe, expect, test } from "vitest";
import {
	exponent,
	falseDiscovery,
	fitLine,
	geometricMean,
	incompleteBeta,
	median,
	quantile,
	spread,
	welch,
} from "../../bench/common/index.js";
import { Random } from "../../src/base/index.js";

test("median, quantile, spread, geometric mean", () => {
	expect([median([3, 1, 2]), median([4, 1, 3, 2]), quantile([10, 20, 30], 0.25)]).toEqual([2, 2.5, 15]);
	expect([spread([8, 10, 12]), geometricMean([1, 100])]).toEqual([0.4, 10.000000000000002]);
	expect(() => median([])).toThrow(RangeError);
});

describe("Welch's t test", () => {
	test("two and two numbers of equal variance: 2 degrees of freedom, whose tail is 1 - t / sqrt(2 + t^2)", () => {
		for (const distance of [0.5, 1, 3, 20]) {
			const t = distance / Math.SQRT2;
			expect(welch([0, 2], [distance, distance + 2])).toBeCloseTo(1 - t / Math.sqrt(2 + t * t), 10);
		}
	});
	test("one side without variance: 1 degree of freedom, whose tail is 1 - 2/pi atan(t)", () => {
		for (const t of [0.1, 1, 7])
			expect(welch([0, 2], [1 + t, 1 + t])).toBeCloseTo(1 - (2 / Math.PI) * Math.atan(t), 10);
	});
	test("no variance at all: certain, one way or the other", () => {
		expect([welch([1, 1], [1, 1]), welch([1, 1], [2, 2])]).toEqual([1, 0]);
	});
	test("is right about noise: one in twenty of equal samples looks different at 5 %", () => {
		const random = new Random(1);
		// A sum of twelve is as good as normal.
		const noise = () => Array.from({ length: 12 }, () => random.below(1 << 20)).reduce((a, b) => a + b) / (12 << 20);
		const sample = () => Array.from({ length: 5 }, noise);
		let alarms = 0;
		for (let i = 0; i < 4000; i++) if (welch(sample(), sample()) < 0.05) alarms++;
		expect(alarms / 4000).toBeGreaterThan(0.03);
		expect(alarms / 4000).toBeLessThan(0.06);
	});
	test("one number on a side says nothing of its noise", () => {
		expect(() => welch([1], [1, 2])).toThrow(RangeError);
	});
});

test("incomplete beta: symmetric, and known where it is elementary", () => {
	// I_x(1, b) = 1 - (1 - x)^b.
	for (const x of [0.01, 0.3, 0.9]) expect(incompleteBeta(x, 1, 3.5)).toBeCloseTo(1 - (1 - x) ** 3.5, 10);
	for (const x of [0.2, 0.7]) expect(incompleteBeta(x, 2.5, 0.5)).toBeCloseTo(1 - incompleteBeta(1 - x, 0.5, 2.5), 10);
	expect([incompleteBeta(0, 2, 3), incompleteBeta(1, 2, 3)]).toEqual([0, 1]);
});

test("false discovery: the example of Benjamini and Hochberg's paper believes four of fifteen", () => {
	const p = [
		0.0278, 0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0298, 0.0344, 0.0459, 0.324, 0.4262, 0.5719, 0.6528, 0.759, 1,
	];
	expect(
		falseDiscovery(p, 0.05)
			.map((believed, index) => (believed ? p[index] : undefined))
			.filter(Boolean),
	).toEqual([0.0001, 0.0004, 0.0019, 0.0095]);
	expect(falseDiscovery([], 0.05)).toEqual([]);
});

test("fits: a line, a power law, and what cannot be fitted", () => {
	expect(
		fitLine([
			[0, 1],
			[1, 3],
			[2, 5],
		]),
	).toEqual({ slope: 2, intercept: 1, r2: 1 });
	expect(
		exponent([
			[1, 5],
			[10, 500],
			[100, 50_000],
		]).slope,
	).toBeCloseTo(2, 12);
	expect(() =>
		fitLine([
			[1, 1],
			[1, 2],
		]),
	).toThrow(RangeError);
});
