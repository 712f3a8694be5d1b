import { type TestFunction, test } from "vitest";

/** True in `npm run test:long`, which makes all of what `npm test` takes a sample of. */
export const LONG = process.env.KLPEMU_LONG === "1";

/** A test that takes too long for `npm test`: only `npm run test:long` makes it. Its file stands in vitest.long.config.ts. */
export function longTest(title: string, run: TestFunction): void {
	if (LONG) test(title, run);
}

/** In `npm test` each `every`-th of a list, from the first; in `npm run test:long` all of it. */
export function sample<T>(list: readonly T[], every: number): T[] {
	return list.filter((_, index) => LONG || index % every === 0);
}

/** What is too long for `.ci/run`, too: each `every`-th there, and all with `KLPEMU_ALL=1 npm run test:long`. */
export function part<T>(list: readonly T[], every: number): T[] {
	return list.filter((_, index) => process.env.KLPEMU_ALL === "1" || index % every === 0);
}
