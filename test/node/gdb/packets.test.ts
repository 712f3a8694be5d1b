import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bytesOf, hexText, latin1, PACKET_SIZE, PacketParser, packetOf, part } from "../../../src/node/gdb/packets.js";

const bytes = fc.uint8Array({ max: 255, maxLength: 400 });
const text = bytes.map((all) => String.fromCharCode(...all));

describe("packets", () => {
	test("data comes out as it went in, in pieces of any size, with noise between the packets", () => {
		fc.assert(
			fc.property(
				fc.array(text, { maxLength: 5 }),
				fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 200 }),
				(all, sizes) => {
					// Acknowledgements and line ends are no packets.
					const stream = Buffer.concat(all.flatMap((data) => [latin1("+\r\n"), packetOf(data)]));
					const parser = new PacketParser();
					const received = [];
					for (let at = 0, i = 0; at < stream.length; i++) {
						const size = sizes[i] ?? 7;
						received.push(...parser.feed(stream.subarray(at, at + size)));
						at += size;
					}
					expect(received).toEqual(all.map((data) => ({ kind: "packet", data })));
				},
			),
			{ seed: 1 },
		);
	});
	test("a wrong checksum, and a packet that is too long, are damaged; the next one is taken", () => {
		const parser = new PacketParser();
		expect(parser.feed(latin1("$g#00$g#zz$?#3f"))).toEqual([
			{ kind: "damaged" },
			{ kind: "damaged" },
			{ kind: "packet", data: "?" },
		]);
		const long = parser.feed(packetOf("m".repeat(10 * PACKET_SIZE)));
		expect(long).toEqual([{ kind: "damaged" }]);
		expect(parser.feed(packetOf("m".repeat(PACKET_SIZE)))).toHaveLength(1);
	});
	test("Ctrl-C and nack outside of packets; a packet that begins in the middle of another one", () => {
		const parser = new PacketParser();
		expect(parser.feed(latin1("\x03-$ab$c#63"))).toEqual([
			{ kind: "interrupt" },
			{ kind: "nack" },
			{ kind: "packet", data: "c" },
		]);
	});
	test("any bytes at all, and then a packet", () => {
		fc.assert(
			fc.property(fc.uint8Array({ max: 255, maxLength: 2000 }), (noise) => {
				const parser = new PacketParser();
				parser.feed(noise);
				// A checksum may be outstanding: two characters end it.
				parser.feed(latin1("00"));
				expect(parser.feed(packetOf("qC")).at(-1)).toEqual({ kind: "packet", data: "qC" });
			}),
			{ seed: 1, numRuns: 500 },
		);
	});
});

test("parts of a text: m for more, l for the last; a bad range is an error", () => {
	expect(part("abcdef", "0,4")).toBe("mabcd");
	expect(part("abcdef", "4,4")).toBe("lef");
	expect(part("abcdef", "10,4")).toBe("l");
	expect(part("abcdef", "x,4")).toBe("E16");
	expect(part("abcdef", "")).toBe("E16");
	expect(part("a".repeat(100_000), "0,ffffffff").length).toBeLessThan(PACKET_SIZE);
});

test("hex digits", () => {
	expect(bytesOf("0aff")).toEqual(Uint8Array.of(10, 255));
	for (const bad of ["0", "0g", "zz"]) expect(bytesOf(bad)).toBeUndefined();
	expect(hexText("é")).toBe("c3a9");
});
