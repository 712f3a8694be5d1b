import { describe, expect, test } from "vitest";
import { format } from "../../../src/linux/lib/index.js";

const TEXTS = new Map([
	[0x1000n, "text"],
	[0x2000n, ""],
	[0x3000n, "%d and %d: %s"],
]);

/** At 0x8000: some bytes, GFP flags, then a struct va_format with its va_list, saved registers and stack. */
const BYTES = Uint8Array.from({ length: 0x200 }, (_, i) => (i < 16 ? 17 * i : 0));
const words = new DataView(BYTES.buffer);
for (const [index, flags] of [0xcc0, 0xdc0, 0x820, 0x2800, 0x1000000].entries())
	words.setUint32(0x40 + 4 * index, flags, true);
for (const [at, value] of [
	...[
		[0x80, 0x3000],
		[0x88, 0x8090],
	],
	// gp_offset, overflow_arg_area, reg_save_area; the sixth register, and two words of the stack.
	...[
		[0x90, 40],
		[0x98, 0x8100],
		[0xa0, 0x80b0],
	],
	...[
		[0xb0 + 40, 1],
		[0x100, 2],
		[0x108, 0x1000],
	],
] as const) {
	words.setBigUint64(at!, BigInt(value!), true);
}

function printed(template: string, ...args: readonly (number | bigint)[]): string {
	return format(template, {
		argument: (index) => BigInt.asUintN(64, BigInt(args[index] ?? 0)),
		string: (address) => TEXTS.get(address) ?? "?",
		symbol: (address, bare) => (bare ? `f${address}` : `f${address}+0x1/0x2`),
		bytes: (address, length) => BYTES.slice(Number(address) - 0x8000, Number(address) - 0x8000 + length),
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
		["%pGg", [0x8040], "GFP_KERNEL"],
		["%pGg", [0x8044], "GFP_KERNEL|__GFP_ZERO"],
		["%pGg %pGg", [0x8048, 0x804c], "GFP_ATOMIC GFP_NOWAIT"],
		["%pGg", [0x8050], "0x1000000"],
		["%.8x %.3d %#.4x [%6.3u] [%-6.2u]", [0x10, -5, 1, 7, 7], "00000010 -005 0x0001 [   007] [07    ]"],
		[
			"%*ph %*phC %*phD %*phN %ph",
			[3, 0x8000, 2, 0x8000, 2, 0x8001, 2, 0x8001, 0x8002],
			"00 11 22 00:11 11-22 1122 22",
		],
		["[%*ph]", [0, 0x8000], "[]"],
		["%*pbl|%*pb|%*pb", [20, 0x8001, 20, 0x8001, 40, 0x8001], "0,4,9,13,16-17|32211|55,44332211"],
		[
			"%pM %pMR %pMF %pm",
			[0x8000, 0x8000, 0x8000, 0x8000],
			"00:11:22:33:44:55 55:44:33:22:11:00 00-11-22-33-44-55 001122334455",
		],
		["%pI4 %pi4 %pI4h", [0x8001, 0x8001, 0x8001], "17.34.51.68 017.034.051.068 68.51.34.17"],
		["%pUb", [0x8000], "00112233-4455-6677-8899-aabbccddeeff"],
		["%pUL", [0x8000], "33221100-5544-7766-8899-AABBCCDDEEFF"],
		["%pa", [0x8000], "0x7766554433221100"],
		["%pV", [0x8080], "1 and 2: text"],
		["%pe %pe", [-2, 0], "-ENOENT 0000000000000000"],
		["%pI4 %pM %5ph", [0, -2, 5], "(null) (efault) (efault)"],
		["%pd", [0x8000], "<%pd 0000000000008000>"],
		["%d, %s", [], "0, (null)"],
	])("%s", (template, args, text) => {
		expect(printed(template, ...args)).toBe(text);
	});
});
