import type { Core } from "./design.js";
import type { klp_patch, klp_state } from "./types.js";

/**
 * kernel/livepatch/state.c: changes of the system's state, as livepatches declare them. The design decides about
 * compatibility.
 */

/** The state `id` of a patch; undefined if the patch does not change it. */
export function klp_get_state(patch: klp_patch, id: bigint): klp_state | undefined {
	return patch.states.find((state) => state.id === id);
}

/**
 * The state `id` of the newest patch before the one in transition. To be called only during a transition, from
 * callbacks.
 */
export function klp_get_prev_state(klp: Core, id: bigint): klp_state | undefined {
	const { klp_transition_patch } = klp.transition;
	const { dmesg } = klp.env;
	if (dmesg.WARN_ON_ONCE(klp_transition_patch === undefined, "klp_get_prev_state: !klp_transition_patch")) {
		return undefined;
	}
	let last: klp_state | undefined;
	for (const patch of klp.klp_patches) {
		if (patch === klp_transition_patch) break;
		last = klp_get_state(patch, id) ?? last;
	}
	return last;
}
