import { hex, isKaddr, type Kaddr, type Memory, toKaddr } from "../memory/index.js";
import type { TableEntry, Tables } from "./tables.js";
import type { ElfSection, StaticCallSite } from "./types.js";

/** struct static_call_site (include/linux/static_call_types.h). */
const ENTRY = { addr: 0, key: 4, size: 8 } as const;
/** Low bits of the key's address. */
const TAIL = 1;
const FLAGS = 3;
/** struct static_call_key: `func`, then a list. */
const KEY_SIZE = 16;
const TRAMPOLINE = "__SCT__";

const CALL = 0xe8;
const JMP = 0xe9;
const RET = [0xc3, 0xcc, 0xcc, 0xcc, 0xcc];
const NOP5 = [0x0f, 0x1f, 0x44, 0x00, 0x00];
/** cs cs cs xorl %eax, %eax: a call of __static_call_return0. */
const XOR5RAX = [0x2e, 0x2e, 0x2e, 0x31, 0xc0];

/** Address of a symbol that the image defines or can use. */
type Resolve = (name: string) => Kaddr | undefined;

/**
 * The static calls of an image, sorted by key. Each site calls the function that its key has now (static_call_add_module(),
 * kernel/static_call_inline.c).
 *
 * A module may only know the trampoline `__SCT__NAME` of a key that is not exported. Its key is `__SCK__NAME`; where nobody defines that,
 * the function cannot change, and the sites go on to call the trampoline. They are not in the result then. Throws `ELF_BAD_TABLE`.
 */
export function applyStaticCalls(tables: Tables, resolve: Resolve): StaticCallSite[] {
	const out: StaticCallSite[] = [];
	const trampolines = new Map<ElfSection, ReadonlyMap<number, string>>();
	for (const entry of tables.entries(".static_call_sites", ENTRY.size)) {
		const own = trampolines.get(entry.section) ?? trampolinesIn(entry.section);
		trampolines.set(entry.section, own);
		const site = read(tables, entry, own, resolve);
		if (site === undefined) continue;
		const func = tables.memory.u64(site.key);
		if (func !== 0n && !isKaddr(func)) entry.fail(`the key's function 0x${func.toString(16)} is not in the kernel`);
		const return0 = resolve("__static_call_return0");
		const code = staticCallCode(tables.memory, site, func === 0n ? 0 : toKaddr(func), return0);
		if (code === undefined || !tables.isText(site.addr, code.length)) {
			return entry.fail("there is no call or jump at the site that a static call could be");
		}
		tables.memory.write(site.addr, code);
		out.push(site);
	}
	return out.sort((a, b) => a.key - b.key);
}

/**
 * The code of a site for the function `func`, 0: none (__static_call_transform(), arch/x86/kernel/static_call.c). `return0`: address of
 * __static_call_return0. Undefined if there is no code at the site that could be replaced: a conditional jump without a function, too.
 */
export function staticCallCode(
	memory: Pick<Memory, "u8">,
	{ addr, tail }: Pick<StaticCallSite, "addr" | "tail">,
	func: Kaddr,
	return0?: Kaddr,
): Uint8Array | undefined {
	const now = [0, 1, 2, 3, 4].map((i) => memory.u8((addr + i) | 0));
	const is = (code: readonly number[]) => code.every((byte, i) => now[i] === byte);
	const branch = (opcode: readonly number[]) => {
		const to = (func - addr - opcode.length - 4) | 0;
		return Uint8Array.of(...opcode, to, to >> 8, to >> 16, to >> 24);
	};
	if (!tail) {
		if (now[0] !== CALL && !is(NOP5) && !is(XOR5RAX)) return undefined;
		if (func === 0) return Uint8Array.from(NOP5);
		return func === return0 ? Uint8Array.from(XOR5RAX) : branch([CALL]);
	}
	if (now[0] === 0x0f && (now[1]! & 0xf0) === 0x80) return func === 0 ? undefined : branch([0x0f, now[1]!]);
	if (now[0] !== JMP && now[0] !== RET[0]) return undefined;
	return func === 0 ? Uint8Array.from(RET) : branch([JMP]);
}

function read(
	tables: Tables,
	entry: TableEntry,
	trampolines: ReadonlyMap<number, string>,
	resolve: Resolve,
): StaticCallSite | undefined {
	const addr = entry.text(ENTRY.addr, 5);
	const raw = entry.relative(ENTRY.key);
	const name = trampolines.get(entry.offset + ENTRY.key);
	const key = name === undefined ? raw & ~FLAGS : resolve(`__SCK__${name}`);
	if (key === undefined) return undefined;
	if (!tables.isMapped(key, KEY_SIZE)) entry.fail(`the key at ${hex(key)} is not in memory`);
	return { addr, key, tail: (raw & TAIL) !== 0 };
}

/** NAME of the trampolines `__SCT__NAME` that a section refers to, by the offset of the field. */
function trampolinesIn({ relocations }: ElfSection): ReadonlyMap<number, string> {
	return new Map(
		relocations
			.filter(({ symbol }) => symbol.name.startsWith(TRAMPOLINE))
			.map(({ offset, symbol }) => [offset, symbol.name.slice(TRAMPOLINE.length)]),
	);
}
