import { expect, test } from "vitest";
import { GuestMemory } from "../../../src/linux/guest/index.js";
import { rememberReads } from "../../../src/linux/klp-c/remember.js";
import { Memory, PAGE_SIZE, PERM } from "../../../src/memory/index.js";

const BASE = -0x7e000000;
const NOTHING: readonly unknown[] = [];

function parts() {
	const memory = new Memory({ bytes: 1 << 20 });
	memory.map("data", BASE, PAGE_SIZE, PERM.READ | PERM.WRITE);
	memory.setKaddr(BASE + 8, BASE + 64);
	memory.setU32(BASE + 64, 7);
	const faults = { count: 0 };
	const reads = rememberReads(memory, () => faults.count);
	const guest = new GuestMemory(memory);
	const walk = () => guest.u32(guest.kaddr(BASE + 8));
	return { memory, guest, faults, reads, walk };
}

test("a walk is the same until a word that it has read changes", () => {
	const { memory, reads, walk } = parts();
	expect(reads.same(NOTHING)).toBe(false);
	expect(reads.read(NOTHING, walk)).toBe(7);
	expect(reads.same(NOTHING)).toBe(true);
	memory.setU32(BASE + 128, 1);
	expect(reads.same(NOTHING)).toBe(true);
	memory.setU32(BASE + 64, 8);
	expect(reads.same(NOTHING)).toBe(false);
	expect(reads.read(NOTHING, walk)).toBe(8);
	memory.setKaddr(BASE + 8, BASE + 128);
	expect(reads.same(NOTHING)).toBe(false);
});

test("either half of a pointer counts, and the byte of a flag", () => {
	const { memory, guest, reads, walk } = parts();
	reads.read(NOTHING, walk);
	memory.setU32(BASE + 12, 0);
	expect(reads.same(NOTHING)).toBe(false);
	reads.read(NOTHING, () => guest.u8(BASE + 70));
	memory.setU8(BASE + 70, 1);
	expect(reads.same(NOTHING)).toBe(false);
});

test("what it depends on beside memory counts", () => {
	const { reads, walk } = parts();
	const [a, b] = [{}, {}];
	reads.read([a], walk);
	expect(reads.same([a])).toBe(true);
	expect(reads.same([b])).toBe(false);
	expect(reads.same([a, b])).toBe(false);
	reads.forget();
	expect(reads.same([a])).toBe(false);
});

test("a page that was mapped or protected anew counts", () => {
	const { memory, reads, walk } = parts();
	reads.read(NOTHING, walk);
	const region = memory.map("other", BASE + PAGE_SIZE, PAGE_SIZE, PERM.READ);
	expect(reads.same(NOTHING)).toBe(false);
	reads.read(NOTHING, walk);
	memory.protect(region, 0);
	expect(reads.same(NOTHING)).toBe(false);
});

test("a walk with a fault, or one that ends in an exception, is not remembered", () => {
	const { guest, faults, reads, walk } = parts();
	reads.read(NOTHING, () => {
		faults.count++;
		return walk();
	});
	expect(reads.same(NOTHING)).toBe(false);
	expect(() => reads.read(NOTHING, () => walk() + guest.u32(BASE + PAGE_SIZE))).toThrow("read at");
	expect(reads.same(NOTHING)).toBe(false);
});

test("while somebody else watches reads or writes, nothing is remembered", () => {
	const { memory, reads, walk } = parts();
	reads.read(NOTHING, walk);
	const seen: number[] = [];
	memory.onGuestRead = (address) => seen.push(address);
	expect(reads.same(NOTHING)).toBe(false);
	reads.read(NOTHING, walk);
	expect(seen).toEqual([BASE + 8, BASE + 64]);
	memory.onGuestRead = undefined;
	expect(reads.same(NOTHING)).toBe(false);
	memory.watchWrites(() => {});
	reads.read(NOTHING, walk);
	expect(reads.same(NOTHING)).toBe(false);
});
