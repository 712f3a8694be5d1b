import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { KINDS } from "../../src/check/index.js";

test("each kind of finding has a test that expects it", () => {
	const folder = "test/check";
	const files = readdirSync(folder).filter((name) => name !== "kinds.test.ts");
	const text = files.map((name) => readFileSync(join(folder, name), "utf8")).join("\n");
	expect(Object.keys(KINDS).filter((kind) => !new RegExp(`["' ]${kind}["' :]`).test(text))).toEqual([]);
});

test("what the kernel refuses has an errno, and nothing else has one", () => {
	for (const { weight, errno } of Object.values(KINDS).map((kind) => ({ errno: undefined, ...kind }))) {
		expect(errno !== undefined).toBe(weight === "refused");
	}
});
