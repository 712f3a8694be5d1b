import type { KernelLayout } from "../lib/index.js";

/**
 * Keys of scenarios that a core may have in the opposite sense: zero has to mean what patches mean that know nothing of the field, because
 * modules which were compiled without it have zero there.
 */
const OPPOSITE: Readonly<Record<string, string>> = { replaceable: "keep" };

/** The field that a core has for a key of a scenario: `field: "klp_patch.keep"`, with the opposite value. Undefined: it has none. */
export function fieldOf(
	layout: KernelLayout,
	struct: string,
	key: string,
): { readonly field: string; readonly opposite: boolean } | undefined {
	const same = `${struct}.${key}`;
	if (layout.has(same)) return { field: same, opposite: false };
	const other = `${struct}.${OPPOSITE[key]}`;
	return layout.has(other) ? { field: other, opposite: true } : undefined;
}
