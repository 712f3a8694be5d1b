import { bool, type Core, type Design, type klp_patch, kstrtobool } from "../linux/klp/index.js";
import { EAGAIN, EINVAL } from "../linux/lib/index.js";
import { mainline, replace } from "./mainline.js";

export const replaceable = bool("replaceable", false, "a later patch with replace may replace this one");

/** `replaceable_store()` of the RFC: under klp_mutex, -EAGAIN while that patch is in transition. */
function replaceable_store(klp: Core, patch: klp_patch, value: string): number {
	const wanted = kstrtobool(value);
	if (wanted === undefined) return -EINVAL;
	if (replaceable.of(patch) === wanted) return 0;
	if (patch === klp.transition.klp_transition_patch) return -EAGAIN;
	replaceable.set(patch, wanted);
	return 0;
}

/**
 * The "hybrid mode" RFC: a patch is only replaced if it allows that. Mainline with `if (!old_patch->replaceable)
 * continue;` in klp_add_nops(), klp_unpatch_replaced_patches() and klp_free_replaced_patches_async().
 */
export const rfc2025: Design = {
	...mainline,
	name: "rfc-2025",
	title: 'RFC "hybrid mode": only patches marked replaceable are replaced',
	source: "live-patching list, RFC of 27 Jan 2025 (the same code again in the RFC of 2 Apr 2026)",
	fields: [replace, replaceable],
	foreign: { replace_set: { write: "replace" }, "funcs.replaceable": { write: "replaceable" } },
	attributes: {
		...mainline.attributes,
		replaceable: { show: (patch) => (replaceable.of(patch) ? "1" : "0"), store: replaceable_store },
	},
	needsNop: (_klp, _patch, old) => replaceable.of(old),
	supersedes: (_patch, old) => replaceable.of(old),
};
