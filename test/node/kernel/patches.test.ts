import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { applyPatch, readPatch } from "../../../src/node/kernel/patches.js";

let folder: string;
beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "klpemu-test-"));
});
afterEach(async () => {
	vi.unstubAllEnvs();
	await rm(folder, { recursive: true });
});

async function write(path: string, text: string): Promise<string> {
	await mkdir(dirname(join(folder, path)), { recursive: true });
	await writeFile(join(folder, path), text);
	return join(folder, path);
}

const CORE = "kernel/livepatch/core.c";
const LINES = [...Array(20).keys()].map((n) => `line ${n + 1}\n`).join("");
const hunk = (at: number, from: string, to: string) =>
	`@@ -${at},3 +${at},3 @@ klp_some()\n line ${at}\n-${from}\n+${to}\n line ${at + 2}\n`;
const diff = (...hunks: string[]) => `From somebody\n\n--- a/${CORE}\n+++ b/${CORE}\n${hunks.join("")}`;

test("a patch applies to a copy; a shifted hunk is told", async () => {
	const patch = await readPatch(
		await write("good.patch", diff(hunk(2, "line 3", "line three"), hunk(10, "line 11", "LINE"))),
	);
	expect(patch.files).toEqual([
		{ path: CORE, isNew: false, hunks: [expect.objectContaining({ line: 5 }), expect.objectContaining({ line: 10 })] },
	]);
	await write(CORE, LINES);
	expect(await applyPatch(patch, folder)).toEqual([]);
	expect(await readFile(join(folder, CORE), "utf8")).toContain("line three\nline 4\n");
	await write(CORE, `another line\n${LINES}`);
	expect(await applyPatch(patch, folder)).toEqual([
		`good.patch: ${CORE}: hunk 1 (good.patch:5) applies at line 3 (offset 1 line)`,
		`good.patch: ${CORE}: hunk 2 (good.patch:10) applies at line 11 (offset 1 line)`,
	]);
	await write(CORE, LINES.slice("line 1\n".length));
	expect((await applyPatch(patch, folder))[1]).toContain("hunk 2 (good.patch:10) applies at line 9 (offset -1 lines)");
});

test("a hunk with other lines around its change is refused; --fuzz allows it, and it is told", async () => {
	const file = await write("fuzzy.patch", diff(hunk(2, "line 3", "line three"), hunk(10, "line 11", "LINE")));
	const patch = await readPatch(file);
	const other = `more\n${LINES.replace("line 12\n", "another line\n")}`;
	await write(CORE, other);
	const said = `${CORE}: hunk 2 (fuzzy.patch:10) applies at line 11 (fuzz 1, offset 1 line)`;
	await expect(applyPatch(patch, folder)).rejects.toMatchObject({
		code: "PATCH_FAILED",
		reason: `the lines around a change are not those of the patch:\n  ${said}`,
		hint: expect.stringContaining("klpemu kernel build --fuzz 1 applies it all the same"),
	});
	for (const fuzz of [1, Number(2n ** 64n - 1n)]) {
		await write(CORE, other);
		expect(await applyPatch(patch, folder, fuzz)).toContain(`fuzzy.patch: ${said}`);
		expect(await readFile(join(folder, CORE), "utf8")).toContain("LINE\nanother line\n");
	}
	// The whole context is other: no number of lines helps.
	await write(
		CORE,
		LINES.replace("line 10\n", "ten\n").replace("line 12\n", "twelve\n").replace("line 11\n", "eleven\n"),
	);
	await expect(applyPatch(patch, folder, 9)).rejects.toMatchObject({ reason: expect.stringContaining("hunk 2 fails") });
});

test("a hunk that does not apply is named, with its line in the patch", async () => {
	await write(CORE, LINES);
	const patch = await readPatch(
		await write("bad.patch", diff(hunk(2, "line 3", "x"), hunk(10, "nobody wrote this", "y"))),
	);
	await expect(applyPatch(patch, folder)).rejects.toMatchObject({
		code: "PATCH_FAILED",
		where: "bad.patch",
		reason: `the patch does not apply:\n  ${CORE}: hunk 2 fails at line 10 (bad.patch:10 @@ -10,3 +10,3 @@ klp_some())`,
	});
	const applied = await readPatch(await write("again.patch", diff(hunk(2, "line 3", "x"))));
	await write(CORE, LINES.replace("line 3\n", "x\n"));
	await expect(applyPatch(applied, folder)).rejects.toMatchObject({
		reason: expect.stringContaining("previously applied"),
	});
	await rm(join(folder, CORE));
	await expect(applyPatch(applied, folder)).rejects.toMatchObject({
		reason: expect.stringContaining("can't find file"),
	});
});

test("what is no unified diff, or has paths out of the source, is refused", async () => {
	const refuse = async (text: string, reason: string) =>
		expect(readPatch(await write("x.patch", text))).rejects.toMatchObject({
			code: "PATCH_SYNTAX",
			reason: expect.stringContaining(reason),
		});
	await refuse("no diff", "no unified diff");
	await refuse("1s/a/b/\nw\n", "no unified diff");
	await refuse(diff(hunk(2, "a", "b")).replaceAll(`b/${CORE}`, "b/../../etc/passwd"), "../../etc/passwd");
	await refuse(diff(hunk(2, "a", "b")).replaceAll(`b/${CORE}`, "/etc/passwd"), "/etc/passwd");
	await refuse(diff(hunk(2, "a", "b")).replaceAll(`b/${CORE}`, "core.c"), "'core.c' is no path");
	await expect(readPatch(join(folder, "none.patch"))).rejects.toMatchObject({ code: "FILE_MISSING" });
});

test("the name of a patch is no option and no command, and an ed script in it is not run", async () => {
	await write(CORE, LINES);
	const name = "--version; touch owned.patch";
	const patch = await readPatch(
		await write(name, `${diff(hunk(2, "line 3", "x"))}1,2d\n!touch ${folder}/owned\n.\nw\n`),
	);
	await applyPatch(patch, folder);
	expect(await readFile(join(folder, CORE), "utf8")).toContain("\nx\n");
	expect(existsSync(join(folder, "owned"))).toBe(false);
});

test("there is no patch(1)", async () => {
	await write(CORE, LINES);
	const patch = await readPatch(await write("good.patch", diff(hunk(2, "line 3", "x"))));
	vi.stubEnv("PATH", join(folder, "bin"));
	await expect(applyPatch(patch, folder)).rejects.toMatchObject({
		code: "TOOL_MISSING",
		reason: "there is no 'patch', which the build needs",
		hint: "apt-get install -y patch",
	});
});
