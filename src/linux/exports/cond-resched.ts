import type { HostFunctions } from "../guest/index.js";
import type { Livepatch } from "../klp/index.js";
import { detail, type Kernel } from "../lib/index.js";
import { COND_RESCHED_STEP } from "../sched/index.js";

/** The gates of cond_resched(): its own, and the function that the macro of the kernel's headers calls. */
export const COND_RESCHED: readonly string[] = ["cond_resched", "__cond_resched"];

/**
 * cond_resched() in code that TypeScript has called, while livepatch uses it. For other tasks, see
 * machine/switch-points.ts.
 */
export function condReschedFunctions(klp: Livepatch): HostFunctions {
	function* resched(): Kernel<undefined> {
		yield* klp.__klp_sched_try_switch();
		yield detail(COND_RESCHED_STEP);
		return undefined;
	}
	return { plain: {}, sleeping: Object.fromEntries(COND_RESCHED.map((name) => [name, resched])) };
}
