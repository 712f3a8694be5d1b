/** Words of guest memory that a look at the core has read: only while they are as they were may the next look be left out. */
import { beforeEach, expect, test } from "vitest";
import { GuestMemory } from "../../../src/linux/guest/index.js";
import { SeenWords } from "../../../src/linux/klp-c/seen-words.js";
import { Memory, PAGE_SIZE, PERM } from "../../../src/memory/index.js";

const PAGE = 0x81000000 | 0;
const READ_WRITE = PERM.READ | PERM.WRITE;
let memory: Memory;
let seen: SeenWords;

beforeEach(() => {
	memory = new Memory({ bytes: 1 << 20 });
	memory.map("page", PAGE, PAGE_SIZE, READ_WRITE);
	memory.setU64(PAGE, 1n);
	const guest = new GuestMemory(memory);
	seen = new SeenWords(memory, () => {
		guest.u64(PAGE);
		guest.u8(PAGE + 13);
	});
});

test("nothing has changed, or only what was not read", () => {
	expect(seen.unchanged).toBe(true);
	memory.setU32(PAGE + 8, 1);
	memory.setU8(PAGE + 16, 1);
	expect(seen.unchanged).toBe(true);
	expect(memory.onGuestRead).toBe(undefined);
});

test.each([
	["the low half of a pointer", () => memory.setU32(PAGE, 2)],
	["its high half", () => memory.setU32(PAGE + 4, 2)],
	["a byte", () => memory.setU8(PAGE + 13, 1)],
	["that the page can be read", () => memory.protect(memory.regions[0]!, 0)],
	["that there is a page", () => memory.unmap(memory.regions[0]!)],
])("%s has changed", (_what, change) => {
	change();
	expect(seen.unchanged).toBe(false);
});
