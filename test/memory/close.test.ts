import { expect, test } from "vitest";
import type { KlpemuError } from "../../src/base/index.js";
import { LAYOUT } from "../../src/machine/index.js";
import { BACKING, type Kaddr, Memory, PAGE_SIZE, PERM } from "../../src/memory/index.js";
import { createTestMachine } from "../support/machine.js";

const BASE: Kaddr = -0x7f000000;
const SHADOW = { base: BASE, end: BASE + 16 * PAGE_SIZE };
/** No other test has this size. */
const BYTES = 19 * PAGE_SIZE;

test("the next memory of the same size gets the backing store of one that is closed, all zero", () => {
	const first = new Memory({ bytes: BYTES, shadow: SHADOW });
	const { wasm, buffer } = first;
	const region = first.map("a", BASE, 4 * PAGE_SIZE, PERM.READ | PERM.WRITE);
	first.map("b", BASE + 8 * PAGE_SIZE, PAGE_SIZE, PERM.READ | PERM.WRITE);
	first.bytes.fill(0xff, BACKING.cpuArea, BACKING.frames);
	first.write(BASE, new Uint8Array(4 * PAGE_SIZE).fill(0xff));
	first.shadow!.allow(BASE, 16 * PAGE_SIZE);
	// What was mapped once counts, too.
	first.unmap(region);
	first.bytes.fill(0xff, region.offset, region.offset + region.length);
	first.close();
	first.close();

	const second = new Memory({ bytes: BYTES });
	expect(second.wasm).not.toBe(wasm);
	const third = new Memory({ bytes: BYTES, shadow: SHADOW });
	expect(third.wasm).toBe(wasm);
	third.words[BACKING.shadow >> 2] = 0;
	expect(new Uint8Array(buffer).every((byte) => byte === 0)).toBe(true);
	expect(new Memory({ bytes: BYTES, shadow: SHADOW }).wasm).not.toBe(wasm);
});

test("who uses a memory that is closed is told so", () => {
	const memory = new Memory({ bytes: BYTES });
	memory.map("a", BASE, PAGE_SIZE, PERM.READ);
	memory.close();
	for (const use of [() => memory.bytes, () => memory.u8(BASE), () => memory.u32(BASE), () => memory.entry(BASE)]) {
		expect(use).toThrow(expect.objectContaining({ code: "MEMORY_CLOSED" }) as KlpemuError);
	}
});

test.each(["jit", "unicorn"])("a machine on %s leaves nothing behind for the next one", async (cpu) => {
	const machine = await createTestMachine({ cpu, kernel: true });
	const { buffer } = machine.it.memory;
	machine.task("worker", "funcA");
	expect(machine.patch("lp1", ["funcA", "lp1_funcA"])).toBe(0);
	machine.settle();
	machine.close();
	const memory = new Memory({ bytes: 4 << 20, shadow: { base: LAYOUT.heap, end: LAYOUT.heapEnd } });
	expect(memory.buffer).toBe(buffer);
	memory.words[BACKING.shadow >> 2] = 0;
	expect(new Uint8Array(buffer).every((byte) => byte === 0)).toBe(true);
});
