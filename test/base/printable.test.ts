import { expect, test } from "vitest";
import { KlpemuError, printable, printableData, printableJson } from "../../src/base/index.js";

test("control characters are visible, tabs and newlines stay", () => {
	expect(printable("a\x1b[31mb\tc\nd\r\x00\x7f\x9b\u202e")).toBe("a\\x1b[31mb\tc\nd\\x0d\\x00\\x7f\\x9b\\u202e");
	expect(printable("größer → ✗ 😀")).toBe("größer → ✗ 😀");
	expect(printableData({ "\x1b": ["\x07", 1, null, { a: "b" }] })).toEqual({ "\\x1b": ["\\x07", 1, null, { a: "b" }] });
});

test("JSON has none either, and is the same data", () => {
	const data = { "a\x7f": 'b\x9b\u202e\x1b\u2028\t\n"\\ größer' };
	const text = printableJson(data);
	expect(text).toBe('{\n  "a\\u007f": "b\\u009b\\u202e\\u001b\\u2028\\t\\n\\"\\\\ größer"\n}');
	expect(JSON.parse(text)).toEqual(data);
});

test("the message of an error has none, wherever they come from", () => {
	const error = new KlpemuError("X", "section '\x1b[2J'", { where: "a\x07.o", hint: "\x9b" });
	expect(error.message).toBe("a\\x07.o: section '\\x1b[2J'\n  hint: \\x9b");
});
