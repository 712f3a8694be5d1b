import { bool, type Design } from "../linux/klp/index.js";
import { EINVAL } from "../linux/lib/index.js";
import { mainline } from "./mainline.js";
import { sharedFunctions } from "./sets.js";

const replaceable = bool("replaceable", false, "another patch may change this function, too");

/**
 * Song Liu's idea: `replaceable` is a field of each klp_func, and a load is refused when another patch owns one of its functions
 * and did not allow that. Otherwise mainline.
 */
export const perFuncReject: Design = {
	...mainline,
	name: "per-func-reject",
	title: "a load is refused when it touches a function that its owner did not mark replaceable",
	source: "Song Liu, live-patching list, 3 Apr 2026",
	funcFields: [replaceable],
	foreign: { replace_set: { write: "replace" }, replaceable: { write: "funcs.replaceable" } },
	isCompatible(klp, patch) {
		for (const old of klp.klp_patches.filter((other) => other.enabled)) {
			for (const func of sharedFunctions(patch, old)) if (!func.nop && !replaceable.of(func)) return -EINVAL;
		}
		return mainline.isCompatible(klp, patch);
	},
};
