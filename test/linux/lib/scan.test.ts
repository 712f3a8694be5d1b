import { describe, expect, test } from "vitest";
import { vsscanf } from "../../../src/linux/lib/index.js";

/** Bytes as hex, texts with their NUL as `text$`. */
function scanned(text: string, template: string): (string | number)[] {
	const { stores, count } = vsscanf(text, template);
	const shown = stores.map((bytes) => {
		const isText = bytes.at(-1) === 0 && bytes.slice(0, -1).every((byte) => byte >= 0x20 && byte < 0x7f);
		return isText && bytes.length > 1
			? `${new TextDecoder().decode(bytes.slice(0, -1))}$`
			: Buffer.from(bytes).toString("hex");
	});
	return [count, ...shown];
}

describe("vsscanf: what lib/vsprintf.c reads", () => {
	test.each([
		["7", "%d", [1, "07000000"]],
		["-2", "%d", [1, "feffffff"]],
		["-2 300 70000 -5", "%hhd%hd%d %ld", [4, "fe", "2c01", "70110100", "fbffffffffffffff"]],
		["8 9", "%lu %zu", [2, "0800000000000000", "0900000000000000"]],
		["ff 0x1F 17", "%x %x %o", [3, "ff000000", "1f000000", "0f000000"]],
		["0x10 010 10 -0x10", "%i %i %i %i", [4, "10000000", "08000000", "0a000000", "f0ffffff"]],
		["12345", "%2u%3u", [2, "0c000000", "59010000"]],
		["4294967297", "%u", [1, "01000000"]],
		["-5", "%u", [0]],
		["-", "%d", [0]],
		["-5", "%1d", [0]],
		["x", "%d", [0]],
		["", "%d", [0]],
		["word next", "%s %s", [2, "word$", "next$"]],
		["  word", "%3s", [1, "wor$"]],
		["ab", "%c%c", [2, "61", "62"]],
		["abc", "%2c", [1, "6162"]],
		["a.b,3", "%55[^.].%127[^,],%lu", [3, "a$", "b$", "0300000000000000"]],
		["aab", "%5[ab]", [1, "aab$"]],
		["ccc", "%5[ab]", [0]],
		["lp,7 rest", "lp,%d%n", [1, "07000000", "04000000"]],
		["other", "lp,%d", [0]],
		["50% 3", "%d%% %d", [2, "32000000", "03000000"]],
		["skipped 3", "%*s %d", [1, "03000000"]],
		[".klp.sym.vmlinux.f,2", ".klp.sym.%55[^.].%511[^,],%lu", [3, "vmlinux$", "f$", "0200000000000000"]],
	])("sscanf(%j, %j)", (text, template, result) => {
		expect(scanned(text, template)).toEqual(result);
	});

	test.each(["%f", "%d %p", "%5", "%[ab]", "%*[ab]", "%q", "%5[ab"])("%s is refused by name", (template) => {
		expect(() => vsscanf("1 2", template)).toThrow(
			expect.objectContaining({ code: "GUEST_FORMAT", reason: expect.stringContaining(template.split(" ").at(-1)!) }),
		);
	});
});
