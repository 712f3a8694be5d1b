import type { Design } from "../linux/klp/index.js";
import { mainline, statesCompatible } from "./mainline.js";

/**
 * The RFC of May 2026: patches of the same `replace_set` replace each other, always. Nothing checks whether patches of different
 * sets have a function in common.
 */
export const replaceSetV1: Design = {
	...mainline,
	name: "replace-set-v1",
	title: 'RFC "replace_set": patches of the same set replace each other',
	source: "live-patching list, RFC of 13 May 2026",
	fields: ["replace_set"],
	attributes: { replace_set: { show: (patch) => String(patch.replace_set) } },
	isCompatible: (klp, patch) => statesCompatible(klp, patch, (old) => old.replace_set !== patch.replace_set),
	addsNops: () => true,
	needsNop: (_klp, patch, old) => old.replace_set === patch.replace_set,
	replacesOnCompletion: () => true,
	supersedes: (patch, old) => old.replace_set === patch.replace_set,
	// The transition patch is of its own set, too.
	forceMarks: (patch, other) => other.replace_set === patch.replace_set,
};
