/** One decision of a schedule. */
export interface Move {
	/** A task, an administrator, or `kworker`. */
	readonly who: string;
	/** So many steps of kernel code, each to its next point; always 1 for a task. */
	readonly steps: number;
	/** Tasks that are on a CPU when that step (counted from 0) looks at them; all others that could be are not. */
	readonly busy: readonly { readonly step: number; readonly task: string }[];
	/** The kworker's work has been tried often enough for signals. */
	readonly late: boolean;
	/** For people: where it led. */
	readonly label: string;
}
