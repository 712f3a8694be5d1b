import fc from "fast-check";
import { beforeEach, expect, test } from "vitest";
import { keyOf } from "../../../src/base/index.js";
import { Heap } from "../../../src/linux/guest/index.js";
import { Memory, PAGE_SIZE } from "../../../src/memory/index.js";

const BASE = -0x7000_0000;
let memory: Memory;
let heap: Heap;
beforeEach(() => {
	memory = new Memory({ bytes: 1 << 20 });
	heap = new Heap(memory, { base: BASE, end: BASE + 16 * PAGE_SIZE });
});

test("objects in use never overlap, are aligned to their size, and hold what was written", () => {
	fc.assert(
		fc.property(fc.array(fc.record({ size: fc.integer({ min: 1, max: 300 }), free: fc.boolean() })), (steps) => {
			const fresh = new Heap(new Memory({ bytes: 1 << 20 }), { base: BASE, end: BASE + 64 * PAGE_SIZE });
			const live: { at: number; size: number }[] = [];
			for (const { size, free } of steps) {
				if (free && live.length > 0) expect(fresh.kfree(live.pop()!.at)).toBe(true);
				else {
					const at = fresh.kmalloc(size, false);
					expect(at & 7).toBe(0);
					for (const other of live) expect(at + size <= other.at || other.at + other.size <= at).toBe(true);
					live.push({ at, size });
				}
			}
			expect(fresh.count).toBe(live.length);
			for (const { at, size } of live) {
				expect([fresh.holds(at, size), fresh.holds(at, size + 1)]).toEqual([true, false]);
				// The bytes beside an object are nobody's: an access that leaves it falls into no other one.
				for (let far = 1; far <= 32; far++) {
					expect([fresh.holds((at - far) | 0, 1), fresh.holds((at + size + far - 1) | 0, 1)]).toEqual([false, false]);
				}
				expect(fresh.nearest((at - 1) | 0)?.address).toBe(at);
			}
		}),
		{ seed: 1 },
	);
});

test("kzalloc() is zeroed, also where something was before; kmalloc() shows the poison", () => {
	const first = heap.kmalloc(64, true);
	memory.write(first, new Uint8Array(64).fill(0xaa));
	heap.kfree(first);
	expect(memory.u8(first)).toBe(0x6b);
	expect(heap.kmalloc(64, false)).toBe(first);
	expect(memory.u8((first + 63) | 0)).toBe(0x6b);
	heap.kfree(first);
	heap.kmalloc(64, true);
	expect([...memory.read(first, 64)]).toEqual(Array(64).fill(0));
});

test("a canonical heap is the same, in whatever order objects came and others went", () => {
	const made = (order: readonly number[]) => {
		const own = new Memory({ bytes: 1 << 20 });
		const canonical = new Heap(own, { base: BASE, end: BASE + 16 * PAGE_SIZE });
		canonical.warm();
		canonical.makeCanonical();
		const objects = [1, 2, 3, 4].map(() => canonical.kmalloc(64, true));
		for (const at of order) canonical.kfree(objects[at]!);
		const next = canonical.kmalloc(64, false);
		const contents = [...objects, next].map((at) => own.read(at, 64).join()).join();
		return [canonical.layout, keyOf(canonical), next, contents];
	};
	expect(made([2, 0, 1])).toEqual(made([0, 1, 2]));
	expect(made([2, 0])).not.toEqual(made([2, 1]));
	heap.warm();
	heap.makeCanonical();
	// Also what nobody has ever used, and what a further page brings.
	for (let i = 0; i < 40; i++) expect(memory.u8(heap.kmalloc(64, false))).toBe(0x6b);
});

test("NULL may be freed; an address that is not an object in use may not", () => {
	const at = heap.kmalloc(8, false);
	expect(heap.kfree(0)).toBe(true);
	expect(heap.kfree((at + 8) | 0)).toBe(false);
	expect(heap.kfree(at)).toBe(true);
	expect(heap.kfree(at)).toBe(false);
});

test("when the area is used up there is NULL; large objects take whole pages", () => {
	const large = heap.kmalloc(3 * PAGE_SIZE, false);
	// A page in front of each object is not mapped.
	expect(large).toBe(BASE + PAGE_SIZE);
	expect(memory.permissions(BASE)).toBe(0);
	const all = Array.from({ length: 20 }, () => heap.kmalloc(PAGE_SIZE, false));
	expect(all.filter((at) => at !== 0)).toHaveLength(5);
	expect(heap.kmalloc(8, true)).not.toBe(0);
	expect(heap.kmalloc(PAGE_SIZE / 2, true)).toBe(0);
	heap.kfree(all[0]!);
	expect(heap.kmalloc(PAGE_SIZE, false)).toBe(all[0]);
});

test("a string has its NUL", () => {
	const at = heap.kstrdup("grüße");
	expect(new TextDecoder().decode(memory.read(at, 8))).toBe("grüße\0");
});
