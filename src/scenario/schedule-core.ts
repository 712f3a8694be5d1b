import { KlpemuError } from "../base/index.js";
import type { Schedule } from "../explore/index.js";
import type { KernelCore } from "../linux/klp-c/index.js";
import type { Scenario } from "./scenario.js";
import { whereOf } from "./types.js";

/** Throws `SCHEDULE_STALE` if a schedule that one core broke is to be made with another, where its moves have other meanings. */
export function checkCore(
	{ core, coreHash }: Schedule,
	given: KernelCore | undefined,
	{ core: named, fileName }: Scenario,
): void {
	const release = given?.info.release;
	const same = core === release;
	if (same && (coreHash === undefined || coreHash === given?.hash())) return;
	const where = named === undefined ? (given?.object.fileName ?? fileName) : whereOf(fileName, named.position);
	const own = "klpemu's own livepatch code";
	throw new KlpemuError(
		"SCHEDULE_STALE",
		same
			? `the schedule is one of another kernel core of ${core}: its file has the hash ${coreHash}, this one ${given?.hash()}`
			: `the schedule is one of ${core ?? own}, not of ${release ?? own}`,
		{
			where,
			hint:
				core === undefined
					? "leave out --core"
					: "give the kernel core with which it was found, made of the same C with the same patches: --core FILE",
		},
	);
}
