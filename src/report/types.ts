import type { Invariant } from "../consistency/index.js";

/** A broken invariant. What does not apply to it is null. */
export interface ReportViolation {
	readonly invariant: Invariant;
	/** `index` of the step in which it happened. */
	readonly step: number;
	readonly task: string | null;
	readonly func: string | null;
	/** Implementations: what the task ran, and what it runs from this instant on. */
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
	/** What it would run for each function: an implementation, or `original`. */
	readonly view: Readonly<Record<string, string>>;
}

/** The machine after a step. */
export interface ReportStep {
	/** Counts the entries of the scenario's `steps` list, `expect`s too, from 1. */
	readonly index: number;
	/** The step for people: `insmod lp1`. */
	readonly action: string;
	/** Its result: 0 or a negative errno. */
	readonly errno: number;
	readonly tasks: Readonly<Record<string, ReportTask>>;
	/** Path below /sys/kernel/livepatch -> number that it holds, for example `lp1/enabled`. */
	readonly sysfs: Readonly<Record<string, number>>;
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
	/** The lines of dmesg that this step printed. */
	readonly dmesg: readonly string[];
	/** Of a step that failed: what was probably meant by a name that the kernel did not find. */
	readonly hints?: readonly string[];
}

/** Something that the scenario said would be so, and was not. */
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
	/** What it printed is what the transcript has, its steps did as expected, and no invariant broke. */
	readonly ok: boolean;
	/** A unified diff of the transcript and what was printed; null: the same. */
	readonly diff: string | null;
}

/** What `klpemu run --json` prints. Keys are only ever added within one `schema` number. */
export interface Report {
	readonly schema: 1;
	/** The scenario's title. */
	readonly scenario: string;
	readonly design: string;
	readonly cpu: string;
	/** A decimal string where a JSON number would lose digits. */
	readonly seed: number | string;
	/** Where a task that runs in the kernel could lose its CPU: `none`, nowhere but where it sleeps or calls cond_resched(). */
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
