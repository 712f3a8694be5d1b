/** Deepest nesting of lists and maps that input may have. The code that reads it is recursive. */
export const MAX_DEPTH = 100;

/** Lists and objects in `value` nest deeper than MAX_DEPTH, or a value contains itself. Not recursive. */
export function isTooDeep(value: unknown): boolean {
	let level: unknown[] = [value];
	for (let depth = 0; level.length > 0; depth++) {
		if (depth > MAX_DEPTH) return true;
		// A value that is referred to more than once is looked at once on each level.
		const next = new Set<unknown>();
		for (const item of level) {
			if (typeof item !== "object" || item === null) continue;
			for (const inner of Object.values(item)) if (typeof inner === "object" && inner !== null) next.add(inner);
		}
		level = [...next];
	}
	return false;
}
