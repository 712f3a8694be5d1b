import type { Design } from "../linux/klp/index.js";
import { mainline } from "./mainline.js";
import { sharesFunction } from "./sets.js";

const ALWAYS = "a patch replaces those that it shares a function with, always";

/**
 * Petr Mladek's idea (2): a patch replaces every patch with which it has a function in common, and gets nops for their
 * functions that it lacks. Patches without a common function stay.
 */
export const conflictReplace: Design = {
	...mainline,
	name: "conflict-replace",
	title: "a patch replaces those that it shares a function with",
	source: "Petr Mladek, live-patching list, 7 Feb 2025",
	fields: [],
	foreign: Object.fromEntries(
		["replace", "replaceable", "replace_set", "funcs.replaceable"].map((key) => [key, { unread: ALWAYS }]),
	),
	attributes: {},
	addsNops: () => true,
	needsNop: (_klp, patch, old) => sharesFunction(patch, old),
	replacesOnCompletion: () => true,
	supersedes: (patch, old) => sharesFunction(patch, old),
	forceMarks: (patch, other) => other !== patch && sharesFunction(patch, other),
};
