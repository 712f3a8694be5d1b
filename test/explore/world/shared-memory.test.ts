/** Which words of memory are state, and which gates are points: found from the accesses themselves. */
import { beforeEach, describe, expect, test } from "vitest";
import { SharedMemory } from "../../../src/explore/world/shared-memory.js";
import { Memory, PAGE_SIZE, PERM } from "../../../src/memory/index.js";

/** One page is mapped there, the one behind it is not. */
const AT = -0x10000000;
const WORD = 8;

let memory: Memory;
let shared: SharedMemory;
beforeEach(() => {
	memory = new Memory({ bytes: 16 * PAGE_SIZE });
	memory.map("data", AT, PAGE_SIZE, PERM.READ | PERM.WRITE);
	shared = new SharedMemory(memory);
});

test("names of gates are points from the next exploration on, and in one that is given them", () => {
	for (const name of ["kfree", "complete"]) shared.addGate(name);
	expect([shared.grown, shared.isGateShared("kfree"), shared.points()]).toEqual([true, false, []]);
	shared.begin();
	expect([shared.isGateShared("kfree"), shared.points()]).toEqual([true, ["complete", "kfree"]]);
	const next = new SharedMemory(memory, ["complete", "kfree"]);
	expect([next.isGateShared("kfree"), next.isGateShared("kmalloc"), next.grown]).toEqual([true, false, false]);
});

describe("the words of a state", () => {
	const key = () => {
		shared.begin();
		return shared.stateKey();
	};
	const moves = (steps: readonly (() => void)[]) => {
		for (const step of steps) {
			shared.beginMove();
			step();
		}
	};
	test.each(["read first", "written first"])("those that code of the kernel reads and anyone writes: %s", (order) => {
		const steps = [() => shared.read(AT, WORD, false), () => shared.write(AT, WORD)];
		moves(order === "read first" ? steps : steps.reverse());
		expect(shared.grown).toBe(true);
		memory.write(AT, Uint8Array.of(5, 0, 0, 0, 6));
		expect([key(), shared.seenKey()]).toEqual(["5,6", ""]);
	});
	test.each(["read first", "written first"])("a task's way depends on what its kernel code reads: %s", (order) => {
		const steps = [() => shared.read(AT, WORD, true), () => shared.write(AT, WORD)];
		moves(order === "read first" ? steps : steps.reverse());
		memory.write(AT, Uint8Array.of(7));
		expect([key(), shared.seenKey()]).toEqual(["7,0", "7,0"]);
	});
	test("what is only read, or only written, is none", () => {
		shared.read(AT, 2 * WORD, true);
		shared.write(AT + 2 * WORD, 2 * WORD);
		expect([shared.grown, key(), shared.seenKey()]).toEqual([false, "", ""]);
		expect([shared.isRead(AT + WORD, 1), shared.isRead(AT + 2 * WORD, WORD)]).toEqual([true, false]);
		expect(shared.isRead(AT + WORD + 7, 2)).toBe(true);
	});
	test("each word of an access, in the order of addresses; the state grows once", () => {
		shared.read(AT + 6, 4, false);
		shared.write(AT, 4 * WORD);
		memory.write(AT, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3));
		expect(key()).toBe("1,0,2,0");
		shared.read(AT, WORD, false);
		shared.write(AT + WORD, WORD);
		expect(shared.grown).toBe(false);
	});
	test("what each move writes before it reads it is none: no move depends on what was there", () => {
		for (let move = 0; move < 2; move++) {
			shared.beginMove();
			shared.write(AT, 2 * WORD);
			shared.read(AT + 4, WORD, true);
			shared.read(AT + WORD, WORD, false);
		}
		expect([shared.grown, key(), shared.seenKey()]).toEqual([false, "", ""]);
	});
	test("a byte that a move has not written before is enough, in one world and in another that is told", () => {
		const other = new SharedMemory(memory);
		other.beginWith(shared.known());
		for (const one of [shared, other]) {
			one.beginMove();
			one.write(AT, 7);
			one.write(AT + WORD, WORD);
			one.read(AT, 2 * WORD, true);
		}
		memory.write(AT, Uint8Array.of(9));
		expect([shared.grown, key(), shared.seenKey()]).toEqual([true, "9,0", "9,0"]);
		const told = new SharedMemory(memory);
		told.addNotes(other.takeNotes());
		told.begin();
		expect([told.stateKey(), told.seenKey()]).toEqual(["9,0", "9,0"]);
	});
	test("memory that is gone has a value of its own", () => {
		shared.read(AT + PAGE_SIZE, WORD, false);
		shared.write(AT + PAGE_SIZE, WORD);
		expect(key()).toBe("NaN");
	});
});

test("a word of a stack that others access belongs to nobody from the next exploration on", () => {
	shared.escapes(AT + WORD + 3);
	expect([shared.grown, shared.hasEscaped(AT + WORD)]).toEqual([true, false]);
	shared.begin();
	expect([shared.hasEscaped(AT + WORD), shared.hasEscaped(AT), shared.hasEscaped(AT + 2 * WORD)]).toEqual([
		true,
		false,
		false,
	]);
	shared.escapes(AT + WORD);
	expect(shared.grown).toBe(false);
});
