import type { Invariant } from "../consistency/index.js";

/** A broken invariant. Fields that do not apply are null. */
export interface ReportViolation {
	readonly invariant: Invariant;
	/** `index` of the step in which it happened. */
	readonly step: number;
	readonly task: string | null;
	readonly func: string | null;
	/** Implementations: the one that the task ran, and the one that it runs from this instant on. */
	readonly from: string | null;
	readonly to: string | null;
	/** One sentence: the instant and the cause. */
	readonly message: string;
}

export interface ReportTask {
	readonly patch_state: "IDLE" | "UNPATCHED" | "PATCHED";
	/** TIF_PATCH_PENDING. */
	readonly pending: boolean;
	/** Innermost patchable function on its stack, by implementation (the original under its own name); null: none. */
	readonly in: string | null;
	/** The implementation that it would run for each function, or `original`. */
	readonly view: Readonly<Record<string, string>>;
}

/** The machine after a step. */
export interface ReportStep {
	/** Counts the entries of the scenario's `steps` list, `expect`s too, from 1. */
	readonly index: number;
	/** The step as text: `insmod lp1`. */
	readonly action: string;
	/** Its result: 0 or a negative errno. */
	readonly errno: number;
	readonly tasks: Readonly<Record<string, ReportTask>>;
	/** Path below /sys/kernel/livepatch -> what it holds, for example `lp1/enabled`: a number, or another text. */
	readonly sysfs: Readonly<Record<string, number | string>>;
	/** Function -> implementations on its func_stack, newest first; `nop` for a nop. Unpatched functions are not in it. */
	readonly func_stacks: Readonly<Record<string, readonly string[]>>;
	/** Tasks that switched in this step: their patch_state went from UNPATCHED to PATCHED or back. Absent: that was not observed. */
	readonly switched?: readonly string[];
	/** Task -> the functions on its kernel stack, innermost first; null: the stack cannot be walked reliably. Only tasks in the kernel. */
	readonly inside?: Readonly<Record<string, readonly string[] | null>>;
	/** Each loaded module and its refcount. */
	readonly modules?: Readonly<Record<string, number>>;
	/** The text that a `cat` step has read. */
	readonly read?: string;
	/** Of an expectation that was not compared: why. */
	readonly skipped?: string;
	/** The lines of dmesg that this step printed. */
	readonly dmesg: readonly string[];
	/** Of a step that failed: the probably meant name, if the kernel did not find the given one. */
	readonly hints?: readonly string[];
}

/** An expectation of the scenario that is not true. */
export interface ReportFailure {
	readonly step: number;
	/** `file:line:column`. */
	readonly where: string;
	readonly message: string;
}

/** A test of a selftest script: what a `test` step begins. */
export interface ReportTest {
	readonly title: string;
	/** `index` of the `test` step. */
	readonly step: number;
	/** True if its output equals the transcript, its steps ended as expected, and no invariant was broken. */
	readonly ok: boolean;
	/** A unified diff of the transcript and the output; null: they are equal. */
	readonly diff: string | null;
}

/** The output of `klpemu run --json`. Within one `schema` number, keys are only added. */
export interface Report {
	readonly schema: 1;
	/** The scenario's title. */
	readonly scenario: string;
	readonly design: string;
	/** The kernel whose own livepatch code ran, `6.12.117+deb12-cloud-amd64`. Absent: the core in TypeScript. */
	readonly core?: string;
	readonly cpu: string;
	/** A decimal string where a JSON number would lose digits. */
	readonly seed: number | string;
	/** Places at which a task in the kernel could lose its CPU: `none`, only if it sleeps or calls cond_resched(). */
	readonly preemption: "none" | "full";
	readonly verdict: "consistent" | "violated";
	/** The verdict is the one that the scenario expects, and every `expect` step held (`failures` is empty). */
	readonly asExpected: boolean;
	readonly violations: readonly ReportViolation[];
	readonly failures: readonly ReportFailure[];
	readonly steps: readonly ReportStep[];
	/** Steps that were not run, because a step before them did not end as the scenario says. */
	readonly notRun?: number;
	readonly dmesg: readonly string[];
	/** Only of a scenario that has `test` steps. */
	readonly tests?: readonly ReportTest[];
}

/** A seed as the report has it. */
export function reportSeed(seed: bigint | number): number | string {
	const value = BigInt(seed);
	return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value.toString();
}
