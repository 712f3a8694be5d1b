const CONTEXT = 3;

type Mark = " " | "-" | "+";
interface Line {
	readonly mark: Mark;
	readonly text: string;
}

/** Pairs of lines that are compared at most: some 100 MB. */
const MAX_PAIRS = 25_000_000;

/** From `a` to `b`, line by line: the shortest way, unless both are so long that all that differs counts as replaced. */
function edits(a: readonly string[], b: readonly string[]): Line[] {
	const end = Math.min(a.length, b.length);
	let head = 0;
	while (head < end && a[head] === b[head]) head++;
	let tail = 0;
	while (tail < end - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
	const marked = (lines: readonly string[], mark: Mark): Line[] => lines.map((text) => ({ mark, text }));
	const [from, to] = [a.slice(head, a.length - tail), b.slice(head, b.length - tail)];
	const middle = from.length * to.length > MAX_PAIRS ? [...marked(from, "-"), ...marked(to, "+")] : shortest(from, to);
	return [...marked(a.slice(0, head), " "), ...middle, ...marked(a.slice(a.length - tail), " ")];
}

/** The shortest way (longest common subsequence). */
function shortest(a: readonly string[], b: readonly string[]): Line[] {
	// longest[i][j]: of a from i on and b from j on.
	const longest = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
	for (let i = a.length - 1; i >= 0; i--) {
		for (let j = b.length - 1; j >= 0; j--) {
			longest[i]![j] = a[i] === b[j] ? longest[i + 1]![j + 1]! + 1 : Math.max(longest[i + 1]![j]!, longest[i]![j + 1]!);
		}
	}
	const out: Line[] = [];
	let [i, j] = [0, 0];
	while (i < a.length || j < b.length) {
		if (i < a.length && j < b.length && a[i] === b[j]) {
			out.push({ mark: " ", text: a[i]! });
			i++;
			j++;
		} else if (i < a.length && (j === b.length || longest[i + 1]![j]! >= longest[i]![j + 1]!)) {
			out.push({ mark: "-", text: a[i++]! });
		} else out.push({ mark: "+", text: b[j++]! });
	}
	return out;
}

/** A unified diff as `diff -u` prints it, with three lines of context; undefined if both are equal. */
export function unifiedDiff(
	a: readonly string[],
	b: readonly string[],
	labels: { readonly a: string; readonly b: string },
): string | undefined {
	const lines = edits(a, b);
	const changed = lines.flatMap(({ mark }, index) => (mark === " " ? [] : [index]));
	if (changed.length === 0) return undefined;
	const out = [`--- ${labels.a}`, `+++ ${labels.b}`];
	for (let first = 0; first < changed.length; ) {
		let last = first;
		while (last + 1 < changed.length && changed[last + 1]! - changed[last]! <= 2 * CONTEXT) last++;
		const start = Math.max(0, changed[first]! - CONTEXT);
		const hunk = lines.slice(start, changed[last]! + CONTEXT + 1);
		const before = lines.slice(0, start);
		const range = (other: Mark) => {
			const skipped = before.filter(({ mark }) => mark !== other).length;
			const length = hunk.filter(({ mark }) => mark !== other).length;
			const from = length === 0 ? skipped : skipped + 1;
			return length === 1 ? `${from}` : `${from},${length}`;
		};
		out.push(`@@ -${range("+")} +${range("-")} @@`);
		for (const { mark, text } of hunk) out.push(mark + text);
		first = last + 1;
	}
	return out.join("\n");
}
