import { codeOf } from "./code.js";
import type { ModuleFile } from "./module-file.js";
import { followRegisters, RDI, RSI } from "./registers.js";
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
	const out: ShadowCall[] = [];
	const done = new Set<string>();
	for (const section of file.object.sections) {
		if (!file.isCode({ section: section.index, offset: 0 })) continue;
		for (const { symbol, offset } of section.relocations) {
			if (!FUNCTIONS.has(symbol.name) || done.size >= MAX_FUNCTIONS) continue;
			const user = file.symbolAt({ section: section.index, offset });
			const key = `${section.index}:${user?.value}`;
			if (user === undefined || done.has(key)) continue;
			done.add(key);
			callsIn(file, codeOf(user), out);
		}
	}
	return out;
}

/** A limit, so that the check of each file ends. */
const MAX_FUNCTIONS = 1000;

function callsIn(file: ModuleFile, code: ReturnType<typeof codeOf>, out: ShadowCall[]): void {
	const relocations = file.relocationsOf(code.section);
	const seen = new Set<number>();
	followRegisters(file, code, ({ instruction, offset, registers }) => {
		const place = offset + instruction.length - 4;
		const called = FUNCTIONS.get(relocations.get(place)?.symbol.name ?? "");
		if (called === undefined) return;
		seen.add(place);
		const id = registers.get(called.id);
		const value = id?.kind === "number" ? id.value : id?.kind === "null" ? 0n : undefined;
		out.push({ does: called.does, id: value, by: code.name });
	});
	// Behind an instruction that the decoder does not know.
	for (const [place, { symbol }] of relocations) {
		const called = FUNCTIONS.get(symbol.name);
		if (called === undefined || seen.has(place) || place < code.offset || place >= code.end) continue;
		out.push({ does: called.does, id: undefined, by: code.name });
	}
}
