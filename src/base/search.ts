/** The first index that has a property which all indices after it have, too; `count` if none has it. A binary search. */
export function lowerBound(count: number, has: (index: number) => boolean): number {
	let low = 0;
	let high = count;
	while (low < high) {
		const middle = (low + high) >> 1;
		if (has(middle)) high = middle;
		else low = middle + 1;
	}
	return low;
}
