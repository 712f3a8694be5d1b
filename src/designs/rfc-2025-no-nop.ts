import type { Design } from "../linux/klp/index.js";
import { replaceable, rfc2025 } from "./rfc-2025.js";

/**
 * Petr Mladek's first step towards a fix, alone: the RFC, but without the nop that sends a function to the original code
 * although a patch that stays has it too.
 */
export const rfc2025NoNop: Design = {
	...rfc2025,
	name: "rfc-2025-no-nop",
	title: "the RFC, without nops for functions that a patch which stays also has",
	source: "https://lore.kernel.org/live-patching/Z5eYzcF5JLR4o5Yl@pathway.suse.cz",
	needsNop(klp, _patch, old, _obj, func) {
		if (!replaceable.of(old)) return false;
		const stack = [...(klp.patching.klp_find_ops(func.old_func)?.func_stack ?? [])];
		const staying = klp.klp_patches.filter((patch) => !replaceable.of(patch));
		return !staying.some((patch) => [...patch.funcs()].some((other) => stack.includes(other)));
	},
};
