import type { Memory } from "../memory/index.js";
import type { TableEntry, Tables } from "./tables.js";
import type { JumpEntry } from "./types.js";

/** struct jump_entry (include/linux/jump_label.h): code and target relative to themselves, then the key, relative and of 64 bits. */
const ENTRY = { code: 0, target: 4, key: 8, size: 16 } as const;
/** struct static_key: the counter `enabled`, then `type`, whose lowest bit is JUMP_TYPE_TRUE. */
const KEY_SIZE = 16;
/** Low bits of the key's address: the branch is the likely way; objtool has to make a nop of the jump (JUMP_LABEL_HACK). */
const BRANCH = 1n;
const FLAGS = 3n;

const JMP8 = 0xeb;
const JMP32 = 0xe9;
const NOPS = { 2: [0x66, 0x90], 5: [0x0f, 0x1f, 0x44, 0x00, 0x00] } as const;

/**
 * The jump labels of an image, sorted by key and address as the kernel sorts them (jump_label_sort_entries()). Each site is made the code
 * that its key asks for now (jump_label_add_module()). Throws `ELF_BAD_TABLE`.
 */
export function applyJumpLabels(tables: Tables): JumpEntry[] {
	const { memory } = tables;
	const out: JumpEntry[] = [];
	for (const entry of tables.entries("__jump_table", ENTRY.size)) {
		const jump = read(tables, entry);
		out.push(jump);
		memory.write(jump.code, jumpLabelCode(jump, memory.i32(jump.key) > 0));
	}
	return out.sort((a, b) => a.key - b.key || a.code - b.code);
}

/** The code of a site when its key is `enabled`: a nop or a jump (jump_label_type(), __jump_label_patch()). */
export function jumpLabelCode({ code, target, branch, size }: JumpEntry, enabled: boolean): Uint8Array {
	if (enabled === branch) return Uint8Array.from(NOPS[size]);
	const displacement = (target - code - size) | 0;
	if (size === 2) return Uint8Array.of(JMP8, displacement);
	return Uint8Array.of(JMP32, displacement, displacement >> 8, displacement >> 16, displacement >> 24);
}

function read(tables: Tables, entry: TableEntry): JumpEntry {
	const { memory } = tables;
	const code = entry.text(ENTRY.code, 2);
	const target = entry.text(ENTRY.target, 1);
	const at = (entry.address + ENTRY.key) | 0;
	const raw = BigInt.asIntN(64, BigInt(at) + memory.u64(at));
	const key = Number(raw & ~FLAGS);
	if (raw !== BigInt.asIntN(32, raw) || !tables.isMapped(key, KEY_SIZE)) {
		entry.fail(`the static key at 0x${BigInt.asUintN(64, raw & ~FLAGS).toString(16)} is not in memory`);
	}
	const jump = { code, target, key, branch: (raw & BRANCH) !== 0n };
	for (const size of [2, 5] as const) {
		const found = { ...jump, size };
		if (!tables.isText(code, size) || !isCode(memory, found)) continue;
		if (size === 2 && ((target - code - size) << 24) >> 24 !== target - code - size)
			entry.fail("the target is out of reach");
		return found;
	}
	return entry.fail("there is neither a nop nor the jump at the site");
}

/** True if there is a nop of the site's size, or its jump. */
function isCode(memory: Memory, jump: JumpEntry): boolean {
	const now = memory.read(jump.code, jump.size);
	return [true, false].some((enabled) => jumpLabelCode(jump, enabled).every((byte, index) => byte === now[index]));
}
