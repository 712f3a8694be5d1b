/**
 * Changes of a C file as places and lines of our own: a diff would have lines of the file's author in it. {@link diffOf} makes the
 * unified diff of them that `klpemu kernel build --patch` takes.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface SourceEdit {
	/** Path in the source. */
	readonly file: string;
	/** Where: the first line that matches the first expression, then the first one from there on that matches the second, and so on. */
	readonly at: readonly RegExp[];
	/** Lines to insert behind the place; or a replacement for what the last expression matches, `""` deletes it. */
	readonly insert?: string;
	readonly replace?: string;
}

/** Index of the line that `at` leads to. */
function placeIn(lines: readonly string[], { file, at }: SourceEdit): number {
	let line = 0;
	for (const expression of at) {
		const found = lines.findIndex((text, index) => index >= line && expression.test(text));
		if (found < 0) throw new Error(`${file}: no line matches ${expression} from line ${line + 1} on`);
		line = found;
	}
	return line;
}

/** The text of a file with the edits of it. */
function edited(text: string, edits: readonly SourceEdit[]): string {
	const lines = text.split("\n");
	for (const edit of edits) {
		const line = placeIn(lines, edit);
		if (edit.insert !== undefined) lines.splice(line + 1, 0, ...edit.insert.split("\n"));
		else lines[line] = lines[line]!.replace(edit.at.at(-1)!, edit.replace!);
	}
	return lines.join("\n");
}

/** The unified diff of edits of an unpacked source. Throws if a place is not there. */
export function diffOf(tree: string, edits: readonly SourceEdit[]): string {
	const folder = mkdtempSync(join(tmpdir(), "klpemu-edits-"));
	const after = join(folder, "after");
	try {
		return [...new Set(edits.map(({ file }) => file))]
			.map((file) => {
				const before = join(tree, file);
				const own = edits.filter((edit) => edit.file === file);
				writeFileSync(after, edited(readFileSync(before, "utf8"), own));
				const names = ["--label", `a/${file}`, "--label", `b/${file}`];
				return differences(["-up", ...names, before, after]);
			})
			.join("");
	} finally {
		rmSync(folder, { recursive: true });
	}
}

/** diff(1), whose exit status is 1 if the files differ. */
function differences(args: readonly string[]): string {
	try {
		return execFileSync("diff", args, { encoding: "utf8" });
	} catch (error) {
		const { status, stdout } = error as { status?: number; stdout?: string };
		if (status === 1 && stdout !== undefined) return stdout;
		throw error;
	}
}
