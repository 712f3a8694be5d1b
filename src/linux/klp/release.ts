/**
 * The differences between kernel releases that are visible in livepatch. A further release is a further record here,
 * written as a change of an earlier one: `{ ...LINUX_6_12, name: "6.16", condReschedSwitches: false }`.
 */
export interface Release {
	/** Name for reports: the release, and the features that it has of other releases. */
	readonly name: string;
	/** Each patch has the file stack_order in sysfs (since 6.14, commit 3dae09de4061). */
	readonly hasStackOrder: boolean;
	/** klp_find_func() takes old_sympos 0 and 1 for the same position (since 6.19). */
	readonly symposZeroIsOne: boolean;
	/** cond_resched() switches the current task (until 6.15; commit 676e8cf70cb0 moves that to __schedule()). */
	readonly condReschedSwitches: boolean;
}

/** The release that klpemu follows. The two later features make scenarios easier to read and to write. */
export const LINUX_6_12: Release = {
	name: "6.12, with stack_order of 6.14 and with old_sympos 0 = 1 of 6.19",
	hasStackOrder: true,
	symposZeroIsOne: true,
	condReschedSwitches: true,
};
