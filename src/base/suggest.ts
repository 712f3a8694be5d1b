/** Edits (insert, delete, replace, swap of neighbours) from one word to the other: optimal string alignment. */
function distance(a: string, b: string): number {
	let before: number[] = [];
	let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
	for (let row = 1; row <= a.length; row++) {
		const current = [row];
		for (let column = 1; column <= b.length; column++) {
			const same = a[row - 1] === b[column - 1] ? 0 : 1;
			let best = Math.min(previous[column]! + 1, current[column - 1]! + 1, previous[column - 1]! + same);
			if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
				best = Math.min(best, before[column - 2]! + 1);
			}
			current.push(best);
		}
		before = previous;
		previous = current;
	}
	return previous[b.length]!;
}

/** The candidate that `word` was probably meant to be, or undefined if none is near. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
	const limit = Math.max(1, Math.floor(word.length / 3));
	let best: { candidate: string; edits: number } | undefined;
	for (const candidate of candidates) {
		// Wrong capitals are the most common mistake, so they cost nothing here.
		const edits = distance(word.toLowerCase(), candidate.toLowerCase());
		if (edits <= limit && (best === undefined || edits < best.edits)) best = { candidate, edits };
	}
	return best?.candidate;
}

/** The candidates that are most like `word`, best first, at most `count`. */
export function nearestFew(word: string, candidates: readonly string[], count = 3): string[] {
	const edits = (candidate: string) => distance(word.toLowerCase(), candidate.toLowerCase());
	const ranked = [...new Set(candidates)].map((candidate) => ({ candidate, edits: edits(candidate) }));
	return ranked
		.sort((a, b) => a.edits - b.edits)
		.slice(0, count)
		.map(({ candidate }) => candidate);
}

/** A hint: `did you mean 'x'? ` if a candidate is near, and always the list of candidates. */
export function suggest(word: string, what: string, candidates: readonly string[]): string {
	const near = nearest(word, candidates);
	const all = candidates.length === 0 ? `there are no ${what}` : `${what}: ${candidates.join(", ")}`;
	return near === undefined ? all : `did you mean '${near}'? ${all}`;
}
