import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { objectFor, readText } from "../../src/node/index.js";

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
