import type { Design } from "../linux/klp/index.js";
import { mainline } from "./mainline.js";
import { sharesFunction } from "./sets.js";

/**
 * Petr Mladek's idea (2): a patch replaces every patch that it has a function in common with, with nops for what those had and it
 * lacks. Patches without a common function stay.
 */
export const conflictReplace: Design = {
	...mainline,
	name: "conflict-replace",
	title: "a patch replaces those that it shares a function with",
	source: "Petr Mladek, live-patching list, 7 Feb 2025",
	fields: [],
	attributes: {},
	addsNops: () => true,
	needsNop: (_klp, patch, old) => sharesFunction(patch, old),
	replacesOnCompletion: () => true,
	supersedes: (patch, old) => sharesFunction(patch, old),
	forceMarks: (patch, other) => other !== patch && sharesFunction(patch, other),
};
