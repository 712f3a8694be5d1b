import { describe, expect, test } from "vitest";
import { format } from "../../../src/linux/lib/index.js";

const TEXTS = new Map([
	[0x1000n, "text"],
	[0x2000n, ""],
]);

function printed(template: string, ...args: readonly (number | bigint)[]): string {
	return format(template, {
		argument: (index) => BigInt.asUintN(64, BigInt(args[index] ?? 0)),
		string: (address) => TEXTS.get(address) ?? "?",
		symbol: (address, bare) => (bare ? `f${address}` : `f${address}+0x1/0x2`),
		u32: (address) => Number(address),
	});
}

describe("format: what lib/vsprintf.c prints", () => {
	test.each([
		["%d %i", [-1, 0xffffffffn], "-1 -1"],
		["%u %lu", [-1, -1], "4294967295 18446744073709551615"],
		["%ld %lld %zd", [-5, -6, -7], "-5 -6 -7"],
		["%hhd %hd", [0x1ff, 0x18000], "-1 -32768"],
		["%x %X %#x %#X %#o", [255, 255, 255, 255, 8], "ff FF 0xff 0XFF 010"],
		["%lx", [0xffffffff81000000n], "ffffffff81000000"],
		["[%5d] [%-5d] [%05d] [%+d] [% d]", [42, 42, -42, 42, 42], "[   42] [42   ] [-0042] [+42] [ 42]"],
		["[%#06x]", [255], "[0x00ff]"],
		["[%*d] [%-*d]", [4, 7, 4, 7], "[   7] [7   ]"],
		["[%s] [%6s] [%-6s] [%.2s] [%s]", [0x1000, 0x1000, 0x1000, 0x1000, 0x2000], "[text] [  text] [text  ] [te] []"],
		["%s", [0], "(null)"],
		["%c%c", [0x41, 0x142], "AB"],
		["100%% %d", [3], "100% 3"],
		["%p %px", [0x1234, 0xffffffff81000000n], "0000000000001234 ffffffff81000000"],
		["%pS %pB %ps", [16, 16, 16], "f16+0x1/0x2 f16+0x1/0x2 f16"],
		["%pGg", [0xcc0], "GFP_KERNEL"],
		["%pGg", [0xdc0], "GFP_KERNEL|__GFP_ZERO"],
		["%pGg %pGg", [0x820, 0x2800], "GFP_ATOMIC GFP_NOWAIT"],
		["%pGg", [0x1000000], "0x1000000"],
		["%d, %s", [], "0, (null)"],
	])("%s", (template, args, text) => {
		expect(printed(template, ...args)).toBe(text);
	});
});
