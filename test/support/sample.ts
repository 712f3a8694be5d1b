/** True in `npm run test:long`, which makes all of what `npm test` takes a sample of. */
export const LONG = process.env.KLPEMU_LONG === "1";

/** In `npm test` each `every`-th of a list, from the first; in `npm run test:long` all of it. */
export function sample<T>(list: readonly T[], every: number): T[] {
	return list.filter((_, index) => LONG || index % every === 0);
}

/** What is too long for `.ci/run`, too: each `every`-th there, and all with `KLPEMU_ALL=1 npm run test:long`. */
export function part<T>(list: readonly T[], every: number): T[] {
	return list.filter((_, index) => process.env.KLPEMU_ALL === "1" || index % every === 0);
}
