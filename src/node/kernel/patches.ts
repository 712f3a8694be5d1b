import { writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { KlpemuError } from "../../base/index.js";
import { readIfThere } from "../files.js";
import { sha256 } from "../sha256.js";
import { shown, tool } from "./tools.js";

/** A unified diff, as `git diff` and `diff -up` write it, with paths as in `a/kernel/livepatch/core.c`. */
export interface Patch {
	/** The file's name without its folder. */
	readonly name: string;
	readonly bytes: Uint8Array;
	readonly sha256: string;
	readonly files: readonly PatchedFile[];
}

interface PatchedFile {
	/** Path in the kernel. */
	readonly path: string;
	/** The patch makes this file. */
	readonly isNew: boolean;
	readonly hunks: readonly { readonly line: number; readonly header: string }[];
}

/** Throws `FILE_MISSING`, `FILE_UNREADABLE`, `PATCH_SYNTAX`. */
export async function readPatch(path: string): Promise<Patch> {
	const bytes = await readIfThere(path);
	if (bytes === undefined) throw new KlpemuError("FILE_MISSING", `there is no patch '${path}'`);
	const files = filesOf(new TextDecoder().decode(bytes), path);
	return { name: basename(path), bytes, sha256: sha256(bytes), files };
}

function filesOf(text: string, where: string): PatchedFile[] {
	const files: { path: string; isNew: boolean; hunks: { line: number; header: string }[] }[] = [];
	const lines = text.split("\n");
	for (const [index, line] of lines.entries()) {
		const before = /^--- ([^\t\n]+)/.exec(line)?.[1];
		const after = /^\+\+\+ ([^\t\n]+)/.exec(lines[index + 1] ?? "")?.[1];
		if (before !== undefined && after !== undefined && /^@@ -/.test(lines[index + 2] ?? "")) {
			const isNew = before.trim() === "/dev/null";
			const name = after.trim() === "/dev/null" ? before.trim() : after.trim();
			files.push({ path: withoutFirst(name, where, index + 1), isNew, hunks: [] });
		} else if (/^@@ -\d/.test(line)) {
			files.at(-1)?.hunks.push({ line: index + 1, header: line.trim() });
		}
	}
	if (files.length > 0) return files;
	throw new KlpemuError("PATCH_SYNTAX", "no unified diff: it has no lines '--- a/FILE', '+++ b/FILE', '@@ ...'", {
		where,
		hint: "make it with git diff or diff -up",
	});
}

/** `a/kernel/livepatch/core.c` -> `kernel/livepatch/core.c` */
function withoutFirst(name: string, where: string, line: number): string {
	const [first, ...rest] = name.split("/");
	if (first !== "" && rest.length > 0 && !rest.some((part) => part === ".." || part === "." || part === "")) {
		return rest.join("/");
	}
	throw new KlpemuError("PATCH_SYNTAX", `'${name}' is no path as in a/kernel/livepatch/core.c`, {
		where: `${where}:${line}`,
		hint: "make it with git diff, in the top folder of the source",
	});
}

/** What patch(1) tries by itself, so that the error for an inexact hunk can say how inexact it is. */
const PATCH_FUZZ = 2;
/** No hunk has as much context; patch(1) takes no number of 64 bits. */
const MAX_FUZZ = 1000;

/**
 * Applies a patch to the files in `folder`. Returns a line for each hunk that applies at another line than it says. `fuzz`: how many
 * lines of a hunk's context, at each of its ends, may be others; `git apply` allows none. Throws `PATCH_FAILED`.
 */
export async function applyPatch(patch: Patch, folder: string, fuzz = 0): Promise<string[]> {
	// By a name of ours: patch(1) and the patch's name never meet. --unified: an ed script in it is not run.
	const input = join(folder, "klpemu.patch");
	await writeFile(input, patch.bytes);
	const options = ["--strip=1", "--unified", "--forward", "--batch", "--no-backup-if-mismatch", "--reject-file=-"];
	const tried = `--fuzz=${Math.min(Math.max(fuzz, PATCH_FUZZ), MAX_FUZZ)}`;
	const { status, stdout, stderr } = await tool(folder, ["patch", ...options, tried, `--input=${input}`]);
	const said = shown(folder, `${stdout}\n${stderr}`).split("\n");
	const inexact = inexactHunks(patch, said);
	if (status !== 0) {
		throw new KlpemuError("PATCH_FAILED", `the patch does not apply:\n${explain(patch, said).join("\n")}`, {
			where: patch.name,
			hint: "--source must be the tree that the patch was made for",
		});
	}
	const tooInexact = inexact.filter((hunk) => hunk.fuzz > fuzz);
	if (tooInexact.length > 0) {
		const least = Math.max(...tooInexact.map((hunk) => hunk.fuzz));
		const lines = tooInexact.map(({ text }) => `  ${text}`).join("\n");
		throw new KlpemuError("PATCH_FAILED", `the lines around a change are not those of the patch:\n${lines}`, {
			where: patch.name,
			hint: `--source must be the tree that the patch was made for; klpemu kernel build --fuzz ${least} applies it all the same`,
		});
	}
	return inexact.map(({ text }) => `${patch.name}: ${text}`);
}

interface InexactHunk {
	/** Lines of context at each end that are others. */
	readonly fuzz: number;
	/** Which hunk, and where it applies. */
	readonly text: string;
}

/** Hunks that apply, but not exactly where and as the patch says. */
function inexactHunks(patch: Patch, said: readonly string[]): InexactHunk[] {
	const out: InexactHunk[] = [];
	for (const { line, file } of byFile(patch, said)) {
		const inexact = /^Hunk #(\d+) succeeded at (\d+)(?: with fuzz (\d+))?(?: \(offset (-?\d+) lines?\))?\.$/.exec(line);
		if (inexact === null || file === undefined) continue;
		const [, number, at, fuzz = "0", offset = "0"] = inexact;
		const how = [
			...(fuzz === "0" ? [] : [`fuzz ${fuzz}`]),
			...(offset === "0" ? [] : [`offset ${offset} line${offset === "1" ? "" : "s"}`]),
		].join(", ");
		out.push({ fuzz: Number(fuzz), text: `${hunkOf(patch, file, number!)} applies at line ${at} (${how})` });
	}
	return out;
}

/** `kernel/livepatch/core.c: hunk 2 (my.patch:10)` */
function hunkOf({ name }: Patch, { path, hunks }: PatchedFile, number: string): string {
	return `${path}: hunk ${number} (${name}:${hunks[Number(number) - 1]?.line})`;
}

/** patch(1)'s words, each with the file that they are about. */
function byFile(patch: Patch, said: readonly string[]): { line: string; file: PatchedFile | undefined }[] {
	let file: PatchedFile | undefined;
	return said.map((line) => {
		const name = /^(?:patching|checking) file '?([^']+)'?$/.exec(line)?.[1];
		if (name !== undefined) file = patch.files.find(({ path }) => path === name);
		return { line, file };
	});
}

/** patch(1)'s complaints, each with the hunk that it is about. */
function explain(patch: Patch, said: readonly string[]): string[] {
	const out: string[] = [];
	for (const { line, file } of byFile(patch, said)) {
		const failed = /^Hunk #(\d+) (?:FAILED|ignored) at (\d+)/.exec(line);
		if (failed !== null && file !== undefined) {
			const hunk = file.hunks[Number(failed[1]) - 1];
			out.push(
				`  ${file.path}: hunk ${failed[1]} fails at line ${failed[2]} (${patch.name}:${hunk?.line} ${hunk?.header})`,
			);
		} else if (/can't find file|previously applied|malformed|No such file|Ignoring|garbage/i.test(line)) {
			out.push(`  ${line.trim()}`);
		}
	}
	return out.length > 0 ? out : said.map((line) => `  ${line}`);
}
