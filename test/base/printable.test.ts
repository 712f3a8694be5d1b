import { expect, test } from "vitest";
import { KlpemuError, printable, printableData } from "../../src/base/index.js";

test("control characters are visible, tabs and newlines stay", () => {
	expect(printable("a\x1b[31mb\tc\nd\r\x00\x7f\x9b\u202e")).toBe("a\\x1b[31mb\tc\nd\\x0d\\x00\\x7f\\x9b\\u202e");
	expect(printable("größer → ✗ 😀")).toBe("größer → ✗ 😀");
	expect(printableData({ "\x1b": ["\x07", 1, null, { a: "b" }] })).toEqual({ "\\x1b": ["\\x07", 1, null, { a: "b" }] });
});

test("the message of an error has none, wherever they come from", () => {
	const error = new KlpemuError("X", "section '\x1b[2J'", { where: "a\x07.o", hint: "\x9b" });
	expect(error.message).toBe("a\\x07.o: section '\\x1b[2J'\n  hint: \\x9b");
});
