import { availableParallelism } from "node:os";
import { KlpemuError } from "../../base/index.js";

/** Number of searches at a time: what the option says, or the number of cores. Throws `CLI_BAD_ARGUMENT`. */
export function parallelOf(given: bigint | undefined, option: string, most: number, where: string): number {
	if (given === undefined) return availableParallelism();
	if (given >= 1n && given <= most) return Number(given);
	throw new KlpemuError("CLI_BAD_ARGUMENT", `${option} must be from 1 to ${most}, not ${given}`, {
		where,
		hint: `this machine has ${availableParallelism()} cores`,
	});
}
