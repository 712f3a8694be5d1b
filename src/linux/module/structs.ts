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

/** The structs of a module that TypeScript reads and writes: offsets and sizes in the layout that the module was compiled for. */
export type Structs = ReturnType<typeof structsOf>;

export function structsOf(layout: KernelLayout) {
	const of = <F extends string>(name: string, ...fields: readonly F[]) => {
		const offsets = fields.map((field) => [field, layout.offset(`${name}.${field}`)]);
		return { ...(Object.fromEntries(offsets) as Record<F, number>), size: layout.size(`struct ${name}`) };
	};
	return {
		klp_func: of("klp_func", "old_name", "new_func", "old_sympos"),
		klp_object: of("klp_object", "name", "funcs", "callbacks", "mod", "patched"),
		klp_callbacks: of("klp_callbacks", "pre_patch", "post_patch", "pre_unpatch", "post_unpatch"),
		klp_state: of("klp_state", "id", "version"),
		klp_patch: of("klp_patch", "mod", "objs", "states", "replace"),
		module: of("module", "state", "name"),
	};
}
