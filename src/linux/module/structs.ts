import { KernelLayout } from "../lib/index.js";

function struct(name: string, size: number, fields: Readonly<Record<string, number>>): [string, bigint][] {
	const offsets = Object.entries(fields).map(([field, at]): [string, bigint] => [`${name}.${field}`, BigInt(at)]);
	return [[`sizeof(struct ${name})`, BigInt(size)], ...offsets];
}

/**
 * The layout of asm/include, for which the C of scenarios is compiled. test/node/headers.test.ts compares it with the compiler's.
 */
export const HEADERS_LAYOUT = new KernelLayout(
	"asm/include",
	new Map([
		...struct("klp_func", 152, { old_name: 0, new_func: 8, old_sympos: 16 }),
		...struct("klp_object", 168, { name: 0, funcs: 8, callbacks: 16, mod: 152, patched: 161 }),
		...struct("klp_callbacks", 40, { pre_patch: 0, post_patch: 8, pre_unpatch: 16, post_unpatch: 24 }),
		...struct("klp_state", 24, { id: 0, version: 8 }),
		...struct("klp_patch", 200, { mod: 0, objs: 8, states: 16, replace: 24 }),
		...struct("module", 80, { state: 0, name: 24 }),
	]),
);

/** The offsets of some fields of a struct, and its size, in one layout. Throws `LAYOUT_MISSING`. */
export function structIn<F extends string>(
	layout: KernelLayout,
	struct: string,
	...fields: readonly F[]
): Readonly<Record<F | "size", number>> {
	const offsets = fields.map((field) => [field, layout.offset(`${struct}.${field}`)]);
	return Object.fromEntries([...offsets, ["size", layout.size(`struct ${struct}`)]]) as Record<F | "size", number>;
}
