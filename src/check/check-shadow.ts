import { callsOf } from "./calls.js";
import type { ModuleFile } from "./module-file.js";
import { constantOf, RDI, RSI } from "./registers.js";
import type { Subject } from "./subject.js";

const FUNCTIONS: ReadonlyMap<string, { readonly does: "alloc" | "free" | "free_all"; readonly id: number }> = new Map([
	["klp_shadow_alloc", { does: "alloc", id: RSI }],
	["klp_shadow_get_or_alloc", { does: "alloc", id: RSI }],
	["klp_shadow_free", { does: "free", id: RSI }],
	["klp_shadow_free_all", { does: "free_all", id: RDI }],
]);

interface ShadowCall {
	readonly does: "alloc" | "free" | "free_all";
	/** Undefined: not a constant. */
	readonly id: bigint | undefined;
	readonly by: string;
}

/** Shadow variables that are allocated: each id must be freed. */
export function checkShadow({ file, found }: Subject): void {
	const calls = shadowCalls(file);
	const by = (does: ShadowCall["does"]): ShadowCall[] => calls.filter((call) => call.does === does);
	const isFreed = (list: readonly ShadowCall[], id: bigint | undefined): boolean =>
		list.some((call) => call.id === undefined || id === undefined || call.id === id);
	for (const { id, by: allocator } of by("alloc")) {
		const which = id === undefined ? "shadow variables" : `shadow variables of the id ${id}`;
		const place = { in: allocator };
		if (isFreed(by("free_all"), id)) continue;
		if (isFreed(by("free"), id))
			found.add(
				"shadow-one-by-one",
				place,
				`${allocator} allocates ${which}; only klp_shadow_free() is called for them`,
			);
		else found.add("shadow-never-freed", place, `${allocator} allocates ${which}, and nothing in the file frees them`);
	}
}

function shadowCalls(file: ModuleFile): ShadowCall[] {
	return callsOf(file, (name) => FUNCTIONS.has(name)).map(({ name, by, registers }) => {
		const { does, id } = FUNCTIONS.get(name)!;
		return { does, id: constantOf(registers.get(id)), by: by.name };
	});
}
