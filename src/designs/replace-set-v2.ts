import type { Design, klp_patch } from "../linux/klp/index.js";
import { EINVAL } from "../linux/lib/index.js";
import { replaceSetV1, sameSet } from "./replace-set-v1.js";
import { sharesFunction } from "./sets.js";

/** Patches of the same set: the new one must know each state of the old one, and no version may go back. */
function knowsStates(patch: klp_patch, old: klp_patch): boolean {
	return old.states.every((state) => {
		const mine = patch.states.find(({ id }) => id === state.id);
		return mine !== undefined && mine.version >= state.version;
	});
}

/** Patches of different sets may have nothing in common, neither states nor functions. */
function isApart(patch: klp_patch, old: klp_patch): boolean {
	const states = old.states.some((state) => patch.states.some(({ id }) => id === state.id));
	return !states && !sharesFunction(patch, old);
}

/**
 * The second version: at most one patch of a set is active, and patches of different sets may share no state and no function. The
 * check comes before initialisation, so that its -EINVAL comes before an -EBUSY.
 */
export const replaceSetV2: Design = {
	...replaceSetV1,
	name: "replace-set-v2",
	title: 'PATCH v2 "replace_set": as v1, and sets must not overlap',
	source: "live-patching list, PATCH v2 of 29 May 2026 (v3 of 7 Jun 2026 has the same rules)",
	isCompatible(klp, patch) {
		const fits = (old: klp_patch) => (sameSet(old, patch) ? knowsStates(patch, old) : isApart(patch, old));
		return klp.klp_patches.every(fits) ? 0 : -EINVAL;
	},
	forceMarks: (patch, other) => other !== patch && sameSet(other, patch),
};
