import { type Design, u32 } from "../linux/klp/index.js";
import { mainline } from "./mainline.js";

const replace = u32("replace", 0, "a tag: patches with the same one replace each other; 0: replaces nothing");

/**
 * Yafang Shao's draft: `u32 replace` is a tag. 0 removes nothing and is superseded by any tagged patch; a tagged patch replaces
 * those with the same tag. klp_add_nops() is as in mainline: it does not look at tags.
 */
export const replaceTagDraft: Design = {
	...mainline,
	name: "replace-tag-draft",
	title: "`replace` is a number: patches with the same one replace each other",
	source: "Yafang Shao, live-patching list, 7 Apr 2026",
	fields: [replace],
	foreign: {
		replaceable: { write: "replace" },
		"funcs.replaceable": { write: "replace" },
		replace_set: { write: "replace" },
	},
	attributes: { replace: { show: (patch) => String(replace.of(patch)) } },
	supersedes: (patch, old) => replace.of(old) === 0 || replace.of(old) === replace.of(patch),
};
