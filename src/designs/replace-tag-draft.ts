import type { Design } from "../linux/klp/index.js";
import { mainline } from "./mainline.js";

/**
 * Yafang Shao's draft: `u32 replace` is a tag. 0 removes nothing and is superseded by any tagged patch; a tagged patch replaces
 * those with the same tag. klp_add_nops() is as in mainline: it does not look at tags.
 */
export const replaceTagDraft: Design = {
	...mainline,
	name: "replace-tag-draft",
	title: "`replace` is a number: patches with the same one replace each other",
	source: "Yafang Shao, live-patching list, 7 Apr 2026",
	fields: ["replace_tag"],
	attributes: { replace: { show: (patch) => String(patch.replace_tag) } },
	supersedes: (patch, old) => old.replace_tag === 0 || old.replace_tag === patch.replace_tag,
};
