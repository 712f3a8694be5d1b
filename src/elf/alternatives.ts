import { hex, isKaddr, type Kaddr, toKaddr } from "../memory/index.js";
import { boot_cpu_has } from "./cpu-features.js";
import { lengthAt, optimizeNops } from "./nops.js";
import { isPcRelative, relocationSize } from "./relocate.js";
import type { TableEntry, Tables } from "./tables.js";
import { thunkOf } from "./thunks.js";

/** struct alt_instr (arch/x86/include/asm/alternative.h): two relative addresses, the feature, flags, and two lengths. */
const ENTRY = { instr: 0, repl: 4, feature: 8, flags: 10, instrlen: 12, replacementlen: 13, size: 14 } as const;
const ALT_FLAG_NOT = 1 << 0;
const ALT_FLAG_DIRECT_CALL = 1 << 1;
const KNOWN_FLAGS = ALT_FLAG_NOT | ALT_FLAG_DIRECT_CALL;
/** No kernel has more words of features and bugs than this (NCAPINTS + NBUGINTS). */
const MAX_FEATURE = 32 * 32;
const MAX_PATCH_LEN = 254;

const NOP = 0x90;
const INT3 = 0xcc;
const CALL = 0xe8;
const JMP8 = 0xeb;
const JMP32 = 0xe9;
/** call *disp32(%rip) */
const CALL_RIP_REL = [0xff, 0x15] as const;
const CALL_RIP_REL_SIZE = 6;

interface Alternative {
	readonly entry: TableEntry;
	readonly instr: Kaddr;
	readonly repl: Kaddr;
	readonly feature: number;
	readonly flags: number;
	/** Bytes that are replaced. */
	readonly instrlen: number;
	readonly replacementlen: number;
}

/**
 * Applies `.altinstructions` as apply_alternatives() (arch/x86/kernel/alternative.c) does for the features of this processor, in the order
 * of the table. `resolve`: the address of a symbol that the image defines or can use. Throws `ELF_BAD_TABLE`.
 */
export function applyAlternatives(tables: Tables, resolve: (name: string) => Kaddr | undefined): void {
	const all = [...tables.entries(".altinstructions", ENTRY.size)].map((entry) => read(tables, entry));
	// Nested alternatives are consecutive entries for one place; the outer one may have more padding.
	for (let start = 0, end = 0; start < all.length; start = end) {
		let instrlen = 0;
		for (end = start; all[end]?.instr === all[start]!.instr; end++) instrlen = Math.max(instrlen, all[end]!.instrlen);
		for (const alternative of all.slice(start, end)) apply(tables, { ...alternative, instrlen }, resolve);
	}
}

function read(tables: Tables, entry: TableEntry): Alternative {
	const { memory } = tables;
	const byte = (offset: number) => memory.u8((entry.address + offset) | 0);
	const word = (offset: number) => byte(offset) | (byte(offset + 1) << 8);
	const [instrlen, replacementlen] = [byte(ENTRY.instrlen), byte(ENTRY.replacementlen)];
	const [feature, flags] = [word(ENTRY.feature), word(ENTRY.flags)];
	if (instrlen > MAX_PATCH_LEN) entry.fail(`${instrlen} bytes are replaced; ${MAX_PATCH_LEN} are supported`);
	if (feature >= MAX_FEATURE) entry.fail(`the feature ${feature} is not known`);
	if ((flags & ~KNOWN_FLAGS) !== 0) entry.fail(`the flags 0x${flags.toString(16)} are not known`);
	const instr = entry.text(ENTRY.instr, Math.max(instrlen, 1));
	const repl = replacementlen === 0 ? entry.relative(ENTRY.repl) : entry.text(ENTRY.repl, replacementlen);
	return { entry, instr, repl, feature, flags, instrlen, replacementlen };
}

function apply(tables: Tables, alternative: Alternative, resolve: (name: string) => Kaddr | undefined): void {
	const { memory } = tables;
	const { entry, instr, instrlen, replacementlen, feature, flags, repl } = alternative;
	if (!tables.isText(instr, instrlen)) entry.fail(`${hex(instr)}, ${instrlen} bytes, is not in the text of the image`);
	if (replacementlen > instrlen) entry.fail(`${replacementlen} bytes do not fit into ${instrlen}`);
	let code: Uint8Array;
	if (boot_cpu_has(feature) === ((flags & ALT_FLAG_NOT) !== 0)) {
		code = memory.read(instr, instrlen);
	} else {
		code = new Uint8Array(instrlen).fill(NOP);
		if ((flags & ALT_FLAG_DIRECT_CALL) !== 0) code.set(directCall(tables, alternative, resolve));
		else {
			code.set(memory.read(repl, replacementlen));
			moveRelocations(tables, alternative, code);
			shortenJumps(code, replacementlen);
		}
	}
	optimizeNops(code);
	memory.write(instr, code);
}

/** The call that takes the place of a call through a pointer in memory (alt_replace_call()): nothing for nop_func. */
function directCall(
	tables: Tables,
	{ entry, instr, instrlen, replacementlen, repl }: Alternative,
	resolve: (name: string) => Kaddr | undefined,
): readonly number[] {
	const { memory } = tables;
	const before = memory.read(instr, instrlen);
	const indirect = before.length === CALL_RIP_REL_SIZE && CALL_RIP_REL.every((byte, i) => before[i] === byte);
	if (!indirect || replacementlen !== 5 || memory.u8(repl) !== CALL) {
		entry.fail("a direct call replaces something else than an indirect call");
	}
	const pointer = (instr + CALL_RIP_REL_SIZE + memory.i32((instr + 2) | 0)) | 0;
	if (!tables.isMapped(pointer, 8)) entry.fail(`the pointer to call, at ${hex(pointer)}, is not in memory`);
	const value = memory.u64(pointer);
	if (value !== 0n && !isKaddr(value)) entry.fail(`the function ${hex(value)} to call is not in the kernel`);
	const target = value === 0n ? resolve("BUG_func") : toKaddr(value);
	if (target === undefined) return entry.fail("the pointer to call is 0, and there is no BUG_func");
	if (target === resolve("nop_func")) return [];
	const displacement = (target - instr - 5) | 0;
	return [CALL, displacement & 0xff, (displacement >> 8) & 0xff, (displacement >> 16) & 0xff, displacement >>> 24];
}

/**
 * Corrects the values in a replacement that depend on their place (__apply_relocation()). The kernel has to decode the instructions; here
 * the relocations say where such values are. What stays within the replacement keeps its value.
 */
function moveRelocations(tables: Tables, { entry, instr, repl, replacementlen }: Alternative, code: Uint8Array): void {
	const view = new DataView(code.buffer, code.byteOffset);
	for (const { place, relocation, section } of tables.relocationsIn(repl, replacementlen)) {
		const at = (place - repl) | 0;
		const opcode = section.data[relocation.offset - 1];
		// A branch to a thunk is an instruction without displacement now.
		const replaced = thunkOf(relocation.symbol.name) !== undefined && tables.memory.u8((place - 1) | 0) !== opcode;
		if (replaced || !isPcRelative(relocation.type)) continue;
		if (relocationSize(relocation.type) !== 4 || at + 4 > replacementlen) {
			entry.fail(`the replacement has a value at ${hex(place)} that cannot be moved`);
		}
		const value = view.getInt32(at, true);
		const target = at + 4 + value;
		if (target >= 0 && target <= replacementlen) continue;
		const moved = value + repl - instr;
		if (moved !== (moved | 0)) entry.fail(`the target of the value at ${hex(place)} is out of reach`);
		view.setInt32(at, moved, true);
	}
}

/** Makes jumps with 32 bits jumps with 8, where that is enough. */
function shortenJumps(code: Uint8Array, end: number): void {
	for (let at = 0; at < end; ) {
		const length = lengthAt(code, at);
		if (length === undefined) return;
		if (code[at] === JMP32) {
			const displacement = new DataView(code.buffer, code.byteOffset).getInt32(at + 1, true) + length - 2;
			if (displacement === (displacement << 24) >> 24) {
				code.fill(INT3, at, at + length);
				code.set([JMP8, displacement & 0xff], at);
			}
		}
		at += length;
	}
}
