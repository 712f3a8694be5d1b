import { type Design, type klp_patch, u32 } from "../linux/klp/index.js";
import { mainline, statesCompatible } from "./mainline.js";

const replace_set = u32("replace_set", 0, "patches of the same set replace each other");

export function sameSet(a: klp_patch, b: klp_patch): boolean {
	return replace_set.of(a) === replace_set.of(b);
}

/**
 * The RFC of May 2026: patches of the same `replace_set` replace each other, always. Nothing checks whether patches of different
 * sets have a function in common.
 */
export const replaceSetV1: Design = {
	...mainline,
	name: "replace-set-v1",
	title: 'RFC "replace_set": patches of the same set replace each other',
	source: "live-patching list, RFC of 13 May 2026",
	fields: [replace_set],
	foreign: {
		replace: { write: "replace_set" },
		replaceable: { write: "replace_set" },
		"funcs.replaceable": { write: "replace_set" },
	},
	attributes: { replace_set: { show: (patch) => String(replace_set.of(patch)) } },
	isCompatible: (klp, patch) => statesCompatible(klp, patch, (old) => !sameSet(old, patch)),
	addsNops: () => true,
	needsNop: (_klp, patch, old) => sameSet(old, patch),
	replacesOnCompletion: () => true,
	supersedes: (patch, old) => sameSet(old, patch),
	// The transition patch is of its own set, too.
	forceMarks: (patch, other) => sameSet(other, patch),
};
