import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { type KlpemuError, keyOf } from "../../src/base/index.js";
import {
	BACKING,
	hex,
	isKaddr,
	type Kaddr,
	Memory,
	PAGE_SIZE,
	PERM,
	type Region,
	toKaddr,
	toU64,
} from "../../src/memory/index.js";

const BASE: Kaddr = -0x7f000000;
const RW = PERM.READ | PERM.WRITE;

let memory: Memory;
beforeEach(() => {
	memory = new Memory({ bytes: 16 * PAGE_SIZE });
});

function codeOf(action: () => unknown): string {
	try {
		action();
	} catch (error) {
		return (error as KlpemuError).code;
	}
	return "no error";
}

describe("map", () => {
	test.each([
		["address not on a page", BASE + 8, PAGE_SIZE, "MEMORY_UNALIGNED"],
		["length not whole pages", BASE, 100, "MEMORY_UNALIGNED"],
		["no length", BASE, 0, "MEMORY_UNALIGNED"],
		["negative length", BASE, -PAGE_SIZE, "MEMORY_UNALIGNED"],
		["past the end of the address space", -PAGE_SIZE, 2 * PAGE_SIZE, "MEMORY_OVERLAP"],
		["over the beginning of another", BASE + 3 * PAGE_SIZE, 2 * PAGE_SIZE, "MEMORY_OVERLAP"],
		["over the end of another", BASE + 5 * PAGE_SIZE, 2 * PAGE_SIZE, "MEMORY_OVERLAP"],
		["inside another", BASE + 5 * PAGE_SIZE, PAGE_SIZE, "MEMORY_OVERLAP"],
		["around another", BASE + 3 * PAGE_SIZE, 5 * PAGE_SIZE, "MEMORY_OVERLAP"],
		["more than there is", BASE + 16 * PAGE_SIZE, 1 << 20, "MEMORY_EXHAUSTED"],
	])("%s: %s", (_title, address, length, code) => {
		memory.map("there", BASE + 4 * PAGE_SIZE, 2 * PAGE_SIZE, RW);
		expect(codeOf(() => memory.map("new", address, length, RW))).toBe(code);
		expect(memory.regions.map(({ name }) => name)).toEqual(["there"]);
	});
	test("right before and right after another is fine; so is the last page of the address space", () => {
		memory.map("there", BASE + PAGE_SIZE, PAGE_SIZE, RW);
		memory.map("before", BASE, PAGE_SIZE, RW);
		memory.map("after", BASE + 2 * PAGE_SIZE, PAGE_SIZE, RW);
		memory.map("last", -PAGE_SIZE, PAGE_SIZE, RW);
		memory.setU8(-1, 7);
		expect(memory.read(0xffff_ffff_ffff_ffffn, 1)).toEqual(Uint8Array.of(7));
	});
	test("an error names both, with addresses", () => {
		memory.map("text", BASE, PAGE_SIZE, RW);
		expect(() => memory.map("data", BASE, PAGE_SIZE, RW)).toThrow(
			"'data' at 0xffffffff81000000 overlaps 'text' at 0xffffffff81000000",
		);
	});
});

describe("unmap", () => {
	test("accesses to what is gone throw MEMORY_UNMAPPED; unmapping twice too", () => {
		const region = memory.map("a", BASE, PAGE_SIZE, RW);
		memory.setU64(BASE, 1n);
		memory.unmap(region);
		expect(memory.permissions(BASE)).toBe(0);
		expect(codeOf(() => memory.u64(BASE))).toBe("MEMORY_UNMAPPED");
		expect(codeOf(() => memory.write(BASE, Uint8Array.of(1)))).toBe("MEMORY_UNMAPPED");
		expect(codeOf(() => memory.unmap(region))).toBe("MEMORY_UNMAPPED");
	});
	test("its backing is used again, and is zero then", () => {
		const keep = memory.map("keep", BASE + 8 * PAGE_SIZE, PAGE_SIZE, RW);
		const region = memory.map("a", BASE, 2 * PAGE_SIZE, RW);
		memory.write(BASE, new Uint8Array(2 * PAGE_SIZE).fill(0xaa));
		memory.unmap(region);
		const again = memory.map("b", BASE + 32 * PAGE_SIZE, 2 * PAGE_SIZE, RW);
		expect(again.offset).toBe(region.offset);
		expect(memory.read(BASE + 32 * PAGE_SIZE, 2 * PAGE_SIZE).every((byte) => byte === 0)).toBe(true);
		expect(keep.offset).not.toBe(again.offset);
	});
	test("any number of maps and unmaps of the same size fit", () => {
		memory.map("keep", BASE + 64 * PAGE_SIZE, PAGE_SIZE, RW);
		for (let i = 0; i < 100; i++) memory.unmap(memory.map("a", BASE, 8 * PAGE_SIZE, RW));
		expect(memory.regions).toHaveLength(1);
	});
	test("of other sizes too: what was freed is not lost", () => {
		memory.map("keep", BASE + 64 * PAGE_SIZE, PAGE_SIZE, RW);
		for (let i = 0; i < 100; i++) {
			const pages = 1 + (i % 7);
			memory.unmap(memory.map("a", BASE, pages * PAGE_SIZE, RW));
		}
		expect(memory.regions).toHaveLength(1);
	});
});

test("whatever is mapped and unmapped, no two regions share a byte and nothing is lost", () => {
	fc.assert(
		fc.property(fc.array(fc.record({ slot: fc.nat(7), pages: fc.integer({ min: 1, max: 4 }) })), (operations) => {
			const pages = new Memory({ bytes: 64 * PAGE_SIZE });
			const slots: (Region | undefined)[] = [];
			for (const { slot, pages: count } of operations) {
				const there = slots[slot];
				if (there !== undefined) {
					expect(pages.read(there.address, there.length).every((byte) => byte === slot + 1)).toBe(true);
					pages.unmap(there);
					slots[slot] = undefined;
				} else {
					const region = pages.map(`r${slot}`, BASE + slot * 4 * PAGE_SIZE, count * PAGE_SIZE, RW);
					expect(pages.read(region.address, region.length).every((byte) => byte === 0)).toBe(true);
					pages.write(region.address, new Uint8Array(region.length).fill(slot + 1));
					slots[slot] = region;
				}
			}
			for (const region of slots) if (region !== undefined) pages.unmap(region);
			// All of it is one piece again.
			expect(pages.map("all", BASE, 64 * PAGE_SIZE, RW).offset).toBe(BACKING.frames);
		}),
		// Each run makes a memory of its own, and engines are slow to give those back: no long shrinking.
		{ seed: 1, numRuns: 60, endOnFailure: true },
	);
});

describe("protect", () => {
	test("changes the whole region and nothing else", () => {
		const region = memory.map("a", BASE, 2 * PAGE_SIZE, RW);
		memory.map("b", BASE + 2 * PAGE_SIZE, PAGE_SIZE, RW);
		memory.protect(region, PERM.READ | PERM.EXEC);
		expect([0, PAGE_SIZE, 2 * PAGE_SIZE].map((offset) => memory.permissions(BASE + offset))).toEqual([5, 5, 3]);
		expect(region.perm).toBe(5);
	});
	test("the host may write where the guest may not, as text_poke does", () => {
		memory.map("text", BASE, PAGE_SIZE, PERM.READ | PERM.EXEC);
		memory.write(BASE, Uint8Array.of(0xcc));
		expect(memory.u8(BASE)).toBe(0xcc);
	});
	test("a region that is gone cannot be protected", () => {
		const region = memory.map("a", BASE, PAGE_SIZE, RW);
		memory.unmap(region);
		expect(codeOf(() => memory.protect(region, RW))).toBe("MEMORY_UNMAPPED");
		expect(memory.permissions(BASE)).toBe(0);
	});
	test("without any permission it is still mapped", () => {
		const region = memory.map("guard", BASE, PAGE_SIZE, RW);
		memory.setU8(BASE, 5);
		memory.protect(region, 0);
		expect(memory.permissions(BASE)).toBe(0);
		expect(codeOf(() => memory.map("b", BASE, PAGE_SIZE, RW))).toBe("MEMORY_OVERLAP");
		memory.protect(region, RW);
		expect(memory.u8(BASE)).toBe(5);
	});
});

describe("accesses", () => {
	/** Two regions that are neighbours in the guest, but not in the backing store. */
	function torn(): void {
		memory.map("second", BASE + PAGE_SIZE, PAGE_SIZE, RW);
		memory.map("first", BASE, PAGE_SIZE, RW);
	}
	test.each([1, 2, 3, 4, 5, 6, 7])(
		"%d bytes before a page's end: 8, 4 and many bytes go on in the next region",
		(before) => {
			torn();
			const at = (BASE + PAGE_SIZE - before) | 0;
			memory.setU64(at, 0x8877665544332211n);
			expect([...memory.read(at, 8)]).toEqual([0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88]);
			expect([memory.u64(at), memory.u32(at), memory.i32(at + 4)]).toEqual([
				0x8877665544332211n,
				0x44332211,
				0x88776655 | 0,
			]);
			memory.setU32(at, 0xdeadbeef);
			expect(memory.u64(at)).toBe(0x88776655deadbeefn);
			memory.write(at, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
			expect(memory.u64(at)).toBe(0x0807060504030201n);
			expect(memory.u8((at - 1) | 0)).toBe(0);
			expect(memory.u8((at + 8) | 0)).toBe(0);
		},
	);
	test("kernel pointers: 64 bits, sign extended", () => {
		memory.map("a", BASE, PAGE_SIZE, RW);
		memory.setKaddr(BASE, BASE);
		expect([memory.u64(BASE), memory.kaddr(BASE)]).toEqual([0xffffffff81000000n, BASE]);
		memory.setKaddr(BASE, 0);
		expect(memory.u64(BASE)).toBe(0n);
	});
	test("over the end of what is mapped: MEMORY_UNMAPPED with the page that is missing", () => {
		memory.map("a", BASE, PAGE_SIZE, RW);
		expect(codeOf(() => memory.u64(BASE + PAGE_SIZE - 4))).toBe("MEMORY_UNMAPPED");
		expect(() => memory.read(BASE + PAGE_SIZE - 4, 8)).toThrow("0xffffffff81001000");
	});
	test("below the kernel window: by 64-bit address only, and not to be mixed up with it", () => {
		memory.map("user", 0x400000n, PAGE_SIZE, RW);
		memory.map("kernel", -0x7fc00000, PAGE_SIZE, RW);
		memory.write(0x400000n, Uint8Array.of(1));
		memory.write(0xffffffff80400000n, Uint8Array.of(2));
		expect([memory.read(0x400000n, 1)[0], memory.u8(-0x7fc00000)]).toEqual([1, 2]);
		expect(memory.permissions(0x401000n)).toBe(0);
	});
});

test("a listener hears of what is there already, and of each change until it stops", () => {
	const heard: string[] = [];
	const hear = (what: string) => (region: Region) => void heard.push(`${what} ${region.name} ${region.perm}`);
	const listener = { mapped: hear("mapped"), unmapped: hear("unmapped"), protectionChanged: hear("protected") };
	const a = memory.map("a", BASE, PAGE_SIZE, RW);
	memory.listen(listener);
	const b = memory.map("b", BASE + PAGE_SIZE, PAGE_SIZE, RW);
	memory.protect(a, 5);
	memory.unmap(b);
	memory.unlisten(listener);
	memory.unmap(a);
	expect(heard).toEqual(["mapped a 3", "mapped b 3", "protected a 5", "unmapped b 3"]);
});

test("addresses: Kaddr, 64 bits and text", () => {
	expect([toU64(BASE), toKaddr(0xffffffff81000000n), hex(BASE), hex(0x10n)]).toEqual([
		0xffffffff81000000n,
		BASE,
		"0xffffffff81000000",
		"0x0000000000000010",
	]);
	expect([0xffffffff80000000n, 0xffffffff7fffffffn, 0n, 0xffffffffffffffffn, -1n].map(isKaddr)).toEqual([
		true,
		false,
		false,
		true,
		true,
	]);
});

test("a restore puts back each byte, and tells each range that differed, to the byte", () => {
	const region = memory.map("text", BASE, PAGE_SIZE, PERM.READ | PERM.EXEC);
	memory.write(
		BASE,
		Uint8Array.from({ length: PAGE_SIZE }, (_, i) => i),
	);
	const saved = memory.save(() => region.length);
	const before = memory.read(BASE, PAGE_SIZE);
	// Ranges around the distance, in words, up to which changes are told as one; the first and the last byte.
	const ends = [...[0, 4, 12, 31, 40, 67].map((at) => 1000 + at), 0, PAGE_SIZE - 1];
	for (const at of ends) memory.setU8((BASE + at) | 0, memory.u8((BASE + at) | 0) ^ 0xff);
	const told: number[][] = [];
	memory.restore(saved, (address, length) => told.push([address - BASE, length]));
	expect(memory.read(BASE, PAGE_SIZE)).toEqual(before);
	expect(told).toEqual([
		[0, 1],
		[1000, 13],
		[1031, 10],
		[1067, 1],
		[PAGE_SIZE - 1, 1],
	]);
});

test("where a region lies in the backing store tells no states apart", () => {
	const other = new Memory({ bytes: 16 * PAGE_SIZE });
	const gone = other.map("gone", BASE, PAGE_SIZE, RW);
	const [here, there] = [memory, other].map((one) => one.map("one", BASE + PAGE_SIZE, PAGE_SIZE, RW));
	other.unmap(gone);
	expect(here!.offset).not.toBe(there!.offset);
	expect(keyOf({ region: here })).toBe(keyOf({ region: there }));
	other.protect(there!, PERM.READ);
	expect(keyOf({ region: here })).not.toBe(keyOf({ region: there }));
});

test("a word is found by its place only if it is aligned and its page has the permissions", () => {
	memory.map("data", BASE, PAGE_SIZE, PERM.READ | PERM.WRITE);
	memory.map("text", (BASE + PAGE_SIZE) | 0, PAGE_SIZE, PERM.READ | PERM.EXEC);
	const both = PERM.READ | PERM.WRITE;
	const place = memory.wordAt(BASE + 0xff8, both);
	memory.words[place + 1] = 7;
	expect(memory.u64(BASE + 0xff8)).toBe(7n << 32n);
	expect([BASE + 4, BASE + 0xffc, BASE + 0x1000, BASE + 0x2000].map((at) => memory.wordAt(at, both))).toEqual([
		-1, -1, -1, -1,
	]);
	expect(memory.wordAt(BASE + 0x1000, PERM.READ)).toBe(place + 2);
});
