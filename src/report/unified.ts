const CONTEXT = 3;

type Mark = " " | "-" | "+";
interface Line {
	readonly mark: Mark;
	readonly text: string;
}

/** The shortest way from `a` to `b`, line by line (longest common subsequence). */
function edits(a: readonly string[], b: readonly string[]): Line[] {
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
		out.push(`@@ -${range("+")} +${range("-")} @@`, ...hunk.map(({ mark, text }) => mark + text));
		first = last + 1;
	}
	return out.join("\n");
}
