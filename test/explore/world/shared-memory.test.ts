/** Which accesses of guest code are points, and which words are state: found from the accesses themselves. */
import { beforeEach, describe, expect, test } from "vitest";
import { SharedMemory } from "../../../src/explore/world/shared-memory.js";
import { Memory, PAGE_SIZE, PERM } from "../../../src/memory/index.js";

/** One page is mapped there, the one behind it is not. */
const AT = -0x10000000;
const [A, B] = [1, 2];
const WORD = 8;

let memory: Memory;
let shared: SharedMemory;
beforeEach(() => {
	memory = new Memory({ bytes: 16 * PAGE_SIZE });
	memory.map("data", AT, PAGE_SIZE, PERM.READ | PERM.WRITE);
	shared = new SharedMemory(memory);
});

describe("shared words", () => {
	type Access = readonly [who: number, writes: boolean, locked: boolean];
	test.each<[string, readonly Access[], boolean]>([
		[
			"one that writes and reads",
			[
				[A, true, false],
				[A, false, false],
			],
			false,
		],
		[
			"two that read",
			[
				[A, false, false],
				[B, false, false],
			],
			false,
		],
		[
			"one writes, then another reads",
			[
				[A, true, false],
				[B, false, false],
			],
			true,
		],
		[
			"one reads, then another writes",
			[
				[A, false, false],
				[B, true, false],
			],
			true,
		],
		[
			"two that write",
			[
				[A, true, false],
				[B, true, false],
			],
			true,
		],
		[
			"two that write and hold klp_mutex",
			[
				[A, true, true],
				[B, true, true],
			],
			false,
		],
		[
			"one of the two holds klp_mutex",
			[
				[A, true, true],
				[B, false, false],
			],
			true,
		],
		[
			"the first of three does not hold klp_mutex",
			[
				[A, true, false],
				[B, false, true],
			],
			true,
		],
	])("%s", (_, accesses, expected) => {
		for (const [who, writes, locked] of accesses) shared.access(who, AT, WORD, writes, locked);
		expect([shared.grown, shared.isShared(AT, WORD)]).toEqual([expected, false]);
		shared.begin();
		expect([shared.grown, shared.isShared(AT, WORD)]).toEqual([false, expected]);
	});

	test("each word that the bytes lie in, and no other", () => {
		for (const who of [A, B]) shared.access(who, AT + WORD + 6, 4, true, false);
		shared.begin();
		const words = [0, 1, 2, 3].map((word) => shared.isShared(AT + word * WORD, WORD));
		expect(words).toEqual([false, true, true, false]);
		expect(shared.isShared(AT, WORD + 1)).toBe(true);
		expect(shared.isShared(AT + 3 * WORD - 1, 1)).toBe(true);
		expect(shared.points()).toEqual(["f0000008", "f0000010"]);
	});

	test("points are given back in order, and to the next exploration with names of gates", () => {
		for (const at of [AT + 0x800, AT]) for (const who of [A, B]) shared.access(who, at, WORD, true, false);
		shared.addGate("kfree");
		shared.addGate("complete");
		expect([shared.isGateShared("kfree"), shared.points()]).toEqual([false, []]);
		shared.begin();
		const points = ["f0000000", "f0000800", "complete", "kfree"];
		expect(shared.points()).toEqual(points);
		const next = new SharedMemory(memory, points);
		expect(next.points()).toEqual(points);
		expect([next.isShared(AT + 0x800, 1), next.isShared(AT + 0x808, 1), next.grown]).toEqual([true, false, false]);
		expect([next.isGateShared("kfree"), next.isGateShared("kmalloc")]).toEqual([true, false]);
	});
});

describe("the words of a state", () => {
	const key = () => {
		shared.begin();
		return shared.stateKey();
	};
	test.each(["read first", "written first"])("those that code of the kernel reads and anyone writes: %s", (order) => {
		const steps = [() => shared.read(AT, WORD, false), () => shared.write(AT, WORD)];
		for (const step of order === "read first" ? steps : steps.reverse()) step();
		expect(shared.grown).toBe(true);
		memory.write(AT, Uint8Array.of(5, 0, 0, 0, 6));
		expect([key(), shared.seenKey()]).toEqual(["5,6", ""]);
	});
	test.each(["read first", "written first"])("a task's way depends on what its kernel code reads: %s", (order) => {
		const steps = [() => shared.read(AT, WORD, true), () => shared.write(AT, WORD)];
		for (const step of order === "read first" ? steps : steps.reverse()) step();
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
