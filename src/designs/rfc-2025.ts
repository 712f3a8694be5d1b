import { type Core, type Design, type klp_patch, kstrtobool } from "../linux/klp/index.js";
import { EAGAIN, EINVAL } from "../linux/lib/index.js";
import { mainline } from "./mainline.js";

/** `replaceable_store()` of the RFC: under klp_mutex, -EAGAIN while that patch is in transition. */
function replaceable_store(klp: Core, patch: klp_patch, value: string): number {
	const replaceable = kstrtobool(value);
	if (replaceable === undefined) return -EINVAL;
	if ((patch.replaceable ?? false) === replaceable) return 0;
	if (patch === klp.transition.klp_transition_patch) return -EAGAIN;
	patch.replaceable = replaceable;
	return 0;
}

/**
 * The "hybrid mode" RFC: a patch is only replaced when it says so. Mainline with `if (!old_patch->replaceable) continue;` in
 * klp_add_nops(), klp_unpatch_replaced_patches() and klp_free_replaced_patches_async().
 */
export const rfc2025: Design = {
	...mainline,
	name: "rfc-2025",
	title: 'RFC "hybrid mode": only patches marked replaceable are replaced',
	source: "live-patching list, RFC of 27 Jan 2025 (the same code again in the RFC of 2 Apr 2026)",
	fields: ["replace", "replaceable"],
	attributes: {
		...mainline.attributes,
		replaceable: { show: (patch) => (patch.replaceable ? "1" : "0"), store: replaceable_store },
	},
	needsNop: (_klp, _patch, old) => old.replaceable ?? false,
	supersedes: (_patch, old) => old.replaceable ?? false,
};
