import type { Kaddr, Memory } from "../../memory/index.js";
import type { Kallsyms } from "../lib/index.js";

/** struct bug_entry with relative pointers (include/asm-generic/bug.h, CONFIG_DEBUG_BUGVERBOSE): file, line and flags of one ud2. */
const ENTRY = { file: 4, line: 8, flags: 10 } as const;
const BUGFLAG_WARNING = 1 << 0;
const BUGFLAG_ONCE = 1 << 1;
const BUGFLAG_DONE = 1 << 2;

/** Meaning of a ud2. */
export interface Bug {
	readonly kind: "warn" | "bug" | "warned";
	readonly file: string;
	readonly line: number;
}

/**
 * The entry of `__bug_table` for a ud2 (lib/bug.c, find_bug() and __report_bug()); undefined: it is no WARN() or BUG(). A WARN_ON_ONCE()
 * is `warn` the first time and `warned` then.
 */
export function report_bug(memory: Memory, kallsyms: Kallsyms, address: Kaddr): Bug | undefined {
	const at = kallsyms.images.find((image) => image.contains(address))?.bugEntry(address);
	return at === undefined ? undefined : read(memory, at);
}

function read(memory: Memory, at: Kaddr): Bug {
	const u16 = (address: Kaddr) => memory.u8(address) | (memory.u8((address + 1) | 0) << 8);
	const fileAt = (at + ENTRY.file) | 0;
	const file = stringAt(memory, (fileAt + memory.i32(fileAt)) | 0);
	const line = u16((at + ENTRY.line) | 0);
	const flags = u16((at + ENTRY.flags) | 0);
	if ((flags & BUGFLAG_WARNING) === 0) return { kind: "bug", file, line };
	if ((flags & BUGFLAG_ONCE) === 0) return { kind: "warn", file, line };
	memory.setU8((at + ENTRY.flags) | 0, flags | BUGFLAG_DONE);
	return { kind: flags & BUGFLAG_DONE ? "warned" : "warn", file, line };
}

/** A short text; empty where nothing is mapped. */
function stringAt(memory: Memory, address: Kaddr): string {
	let text = "";
	for (let at = address; memory.permissions(at) !== 0 && text.length < 256; at = (at + 1) | 0) {
		const byte = memory.u8(at);
		if (byte === 0) break;
		text += String.fromCharCode(byte);
	}
	return text;
}
