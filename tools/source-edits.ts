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
	/** `replace` takes the place of whole lines: from the place to the first line from there on that matches. `""`: they go. */
	readonly through?: RegExp;
	/** The lines begin with the comment that ends above the place. */
	readonly withComment?: true;
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
		if (edit.through !== undefined) replaceLines(lines, line, edit);
		else if (edit.insert !== undefined) lines.splice(line + 1, 0, ...edit.insert.split("\n"));
		else lines[line] = lines[line]!.replace(edit.at.at(-1)!, edit.replace!);
	}
	return lines.join("\n");
}

function replaceLines(lines: string[], line: number, { file, through, withComment, replace = "" }: SourceEdit): void {
	const end = lines.findIndex((text, index) => index >= line && through!.test(text));
	if (end < 0) throw new Error(`${file}: no line matches ${through} from line ${line + 1} on`);
	let start = line;
	if (withComment) while (!lines[start]!.includes("/*")) start--;
	const text = replace === "" ? [] : replace.split("\n");
	// Of two empty lines around what goes one stays.
	const after = text.length === 0 && lines[start - 1] === "" && lines[end + 1] === "" ? end + 1 : end;
	lines.splice(start, after + 1 - start, ...text);
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
