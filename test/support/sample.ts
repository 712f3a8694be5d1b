/** True in `npm run test:long`, which makes all of what `npm test` takes a sample of. */
export const LONG = process.env.KLPEMU_LONG === "1";

/** In `npm test` each `every`-th of a list, from the first; in `npm run test:long` all of it. */
export function sample<T>(list: readonly T[], every: number): T[] {
	return list.filter((_, index) => LONG || index % every === 0);
}
