import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { objectFor, readText, writeFolder } from "../../src/node/index.js";

describe("files that have no end, or give nothing", () => {
	const pipe = join(mkdtempSync(join(tmpdir(), "klpemu-")), "pipe.o");
	execFileSync("mkfifo", [pipe]);

	test.each(["/dev/zero", "/dev/null", pipe])("%s is no scenario", async (path) => {
		await expect(readText(path)).rejects.toThrow(/cannot read '.*': it is no regular file/);
	});
	test("a pipe is no object", async () => {
		await expect(objectFor(pipe)).rejects.toThrow(/it is no regular file/);
	});
	test("nor is a folder", async () => {
		await expect(readText("src")).rejects.toThrow(/it is a folder/);
		await expect(readText("src/none")).rejects.toThrow(/there is no file/);
	});
});

test("a folder takes another one's place whole, or not at all", async () => {
	const place = mkdtempSync(join(tmpdir(), "klpemu-"));
	const folder = join(place, "one");
	const there = () => readdirSync(place, { recursive: true, encoding: "utf8" }).sort();
	await writeFolder(
		folder,
		new Map<string, string | Uint8Array>([
			["a", "1"],
			["b/c", Uint8Array.of(50)],
		]),
	);
	expect([there(), readFileSync(join(folder, "b/c"), "utf8")]).toEqual([["one", "one/a", "one/b", "one/b/c"], "2"]);
	const impossible = new Map([
		["x", "1"],
		["x/y", "2"],
	]);
	await expect(writeFolder(folder, impossible)).rejects.toMatchObject({ code: "FILE_UNWRITABLE" });
	expect(there()).toEqual(["one", "one/a", "one/b", "one/b/c"]);
	await writeFolder(folder, new Map([["d", "3"]]));
	expect(there()).toEqual(["one", "one/d"]);
});
