import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { CHECK_DOCUMENT, checkDocument } from "../../tools/docs-check.js";

test("docs/check.md lists each kind of finding (else: npm run docs:check)", () => {
	const text = readFileSync(CHECK_DOCUMENT, "utf8");
	expect(checkDocument(text)).toBe(text);
});
