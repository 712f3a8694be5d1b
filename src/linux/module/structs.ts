/**
 * Offsets of fields (`klp_func.old_name`) and sizes of types (`struct klp_func`) in bytes, of one build of the kernel. Both throw for a
 * name that is not in it.
 */
export interface StructLayout {
	/** UTS_RELEASE. */
	readonly release: string;
	offset(field: string): number;
	size(type: string): number;
	/** Some fields depend on release and configuration. */
	has(name: string): boolean;
}

/** asm/include; test/node/headers.test.ts compares them with the compiler's. */
const HEADERS: ReadonlyMap<string, number> = new Map([
	...offsetsOf("klp_func", 152, { old_name: 0, new_func: 8, old_sympos: 16 }),
	...offsetsOf("klp_object", 168, { name: 0, funcs: 8, callbacks: 16, mod: 152, patched: 161 }),
	...offsetsOf("klp_callbacks", 40, { pre_patch: 0, post_patch: 8, pre_unpatch: 16, post_unpatch: 24 }),
	...offsetsOf("klp_state", 24, { id: 0, version: 8 }),
	...offsetsOf("klp_patch", 200, { mod: 0, objs: 8, states: 16, replace: 24 }),
	...offsetsOf("module", 80, { state: 0, name: 24 }),
]);

function offsetsOf(struct: string, size: number, fields: Readonly<Record<string, number>>): [string, number][] {
	const offsets = Object.entries(fields).map(([field, offset]): [string, number] => [`${struct}.${field}`, offset]);
	return [[`struct ${struct}`, size], ...offsets];
}

function ofHeaders(name: string): number {
	const value = HEADERS.get(name);
	if (value === undefined) throw new Error(`'${name}' is not in the table of asm/include`);
	return value;
}

/** The layout of asm/include, for which the C of scenarios is compiled. */
export const HEADERS_LAYOUT: StructLayout = {
	release: "asm/include",
	offset: ofHeaders,
	size: ofHeaders,
	has: (name) => HEADERS.has(name),
};

/** The structs of a module that TypeScript reads and writes: offsets and sizes in the layout that the module was compiled for. */
export type Structs = ReturnType<typeof structsOf>;

export function structsOf(layout: StructLayout) {
	const struct = <F extends string>(name: string, ...fields: readonly F[]) => {
		const offsets = fields.map((field) => [field, layout.offset(`${name}.${field}`)]);
		return { ...(Object.fromEntries(offsets) as Record<F, number>), size: layout.size(`struct ${name}`) };
	};
	return {
		klp_func: struct("klp_func", "old_name", "new_func", "old_sympos"),
		klp_object: struct("klp_object", "name", "funcs", "callbacks", "mod", "patched"),
		klp_callbacks: struct("klp_callbacks", "pre_patch", "post_patch", "pre_unpatch", "post_unpatch"),
		klp_state: struct("klp_state", "id", "version"),
		klp_patch: struct("klp_patch", "mod", "objs", "states", "replace"),
		module: struct("module", "state", "name"),
	};
}
