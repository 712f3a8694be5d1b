/** The statistics that the reports use. Pure functions of numbers. */

/** The value below which `part` (0 to 1) of the numbers lies, interpolated. Throws on no numbers. */
export function quantile(numbers: readonly number[], part: number): number {
	if (numbers.length === 0) throw new RangeError("quantile of no numbers");
	const sorted = [...numbers].sort((a, b) => a - b);
	const at = (sorted.length - 1) * part;
	const low = Math.floor(at);
	const high = Math.ceil(at);
	return sorted[low]! + (sorted[high]! - sorted[low]!) * (at - low);
}

export function median(numbers: readonly number[]): number {
	return quantile(numbers, 0.5);
}

export function mean(numbers: readonly number[]): number {
	return numbers.reduce((sum, value) => sum + value, 0) / numbers.length;
}

/** Of the sample: divided by n - 1. */
export function variance(numbers: readonly number[]): number {
	const middle = mean(numbers);
	return numbers.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (numbers.length - 1);
}

export function geometricMean(numbers: readonly number[]): number {
	return Math.exp(mean(numbers.map(Math.log)));
}

/** (max - min) / median: the spread in the rows. */
export function spread(numbers: readonly number[]): number {
	return (Math.max(...numbers) - Math.min(...numbers)) / median(numbers);
}

export interface Line {
	readonly slope: number;
	readonly intercept: number;
	/** Coefficient of determination, 0 to 1. */
	readonly r2: number;
}

/** Least squares. At least two different x. */
export function fitLine(points: readonly (readonly [number, number])[]): Line {
	const x = mean(points.map(([value]) => value));
	const y = mean(points.map(([, value]) => value));
	const sum = (of: (dx: number, dy: number) => number) => points.reduce((s, [px, py]) => s + of(px - x, py - y), 0);
	const xx = sum((dx) => dx * dx);
	if (xx === 0) throw new RangeError("fitLine needs two different x");
	const xy = sum((dx, dy) => dx * dy);
	const yy = sum((_dx, dy) => dy * dy);
	const slope = xy / xx;
	return { slope, intercept: y - slope * x, r2: yy === 0 ? 1 : xy ** 2 / (xx * yy) };
}

/** The k of y = c * x^k: least squares on the logarithms. All numbers positive. */
export function exponent(points: readonly (readonly [number, number])[]): Line {
	return fitLine(points.map(([x, y]) => [Math.log(x), Math.log(y)]));
}

/**
 * Welch's t test: the probability that two samples of these sizes are at least this far apart if both come from normal
 * distributions with the same mean and any variances. Two-sided. 1 for equal samples; needs two numbers on each side.
 */
export function welch(a: readonly number[], b: readonly number[]): number {
	if (a.length < 2 || b.length < 2) throw new RangeError("welch needs two numbers on each side");
	const [va, vb] = [variance(a) / a.length, variance(b) / b.length];
	const distance = mean(a) - mean(b);
	if (va + vb === 0) return distance === 0 ? 1 : 0;
	const t = distance / Math.sqrt(va + vb);
	const df = (va + vb) ** 2 / (va ** 2 / (a.length - 1) + vb ** 2 / (b.length - 1));
	// The two tails of Student's t are a regularised incomplete beta function (Abramowitz and Stegun 26.7.1).
	return incompleteBeta(df / (df + t * t), df / 2, 0.5);
}

/** Regularised incomplete beta I_x(a, b), by its continued fraction (Numerical Recipes in C, 6.4). */
export function incompleteBeta(x: number, a: number, b: number): number {
	if (x <= 0) return 0;
	if (x >= 1) return 1;
	if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
	const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log(1 - x));
	const tiny = 1e-300;
	let c = 1;
	let d = 1 / nonZero(1 - ((a + b) * x) / (a + 1));
	let fraction = d;
	for (let m = 1; m <= 300; m++) {
		for (const term of [
			(m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m)),
			(-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1)),
		]) {
			d = 1 / nonZero(1 + term * d);
			c = nonZero(1 + term / c);
			fraction *= c * d;
		}
		if (Math.abs(c * d - 1) < 1e-14) break;
	}
	return (front * fraction) / a;

	function nonZero(value: number): number {
		return Math.abs(value) < tiny ? tiny : value;
	}
}

/** ln of the gamma function for x > 0: Stirling's series, after the recurrence has made x large enough for it. */
function logGamma(x: number): number {
	let shift = 0;
	let z = x;
	for (; z < 10; z++) shift += Math.log(z);
	const r = 1 / (z * z);
	const series = (1 / 12 - r * (1 / 360 - r * (1 / 1260 - r * (1 / 1680)))) / z;
	return (z - 0.5) * Math.log(z) - z + Math.log(2 * Math.PI) / 2 + series - shift;
}

/**
 * Benjamini and Hochberg: selects among many tests so that, of the selected ones, on average at most `rate` are false
 * alarms. In the order of `p`.
 */
export function falseDiscovery(p: readonly number[], rate: number): boolean[] {
	const order = p.map((_, index) => index).sort((a, b) => p[a]! - p[b]!);
	let believed = 0;
	order.forEach((index, rank) => {
		if (p[index]! <= (rate * (rank + 1)) / p.length) believed = rank + 1;
	});
	const out = p.map(() => false);
	for (const index of order.slice(0, believed)) out[index] = true;
	return out;
}
