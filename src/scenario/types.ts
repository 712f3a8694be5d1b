import type { FieldValues } from "../linux/klp/index.js";
import type { Preemption } from "../linux/sched/index.js";
import type { RawTaskEntries } from "./values.js";

/** A place in the scenario file, counted from 1 as editors do. */
export interface Position {
	readonly line: number;
	readonly column: number;
}

/** A file that a scenario names: C, assembly or an object. Relative to the scenario file, or to the project. */
export interface SourceRef {
	readonly path: string;
	readonly position: Position;
}

/** One entry of a livepatch's `funcs`: the kernel's struct klp_func. */
export interface FuncSpec {
	readonly old_name: string;
	readonly new_func: string;
	/** Number of the symbol among those with the name `old_name`, from 1; 0: there must be only one. */
	readonly sympos: number;
	/** Its values for fields of replace designs. */
	readonly fields: FieldValues;
	readonly position: Position;
}

/** The changes of a livepatch in vmlinux or in one module: the kernel's struct klp_object. */
export interface ObjectSpec {
	/** `vmlinux`, or the name of a module. */
	readonly name: string;
	readonly funcs: readonly FuncSpec[];
	readonly position: Position;
}

/** The keys of a livepatch for one design. */
export interface DesignSection {
	readonly fields: FieldValues;
	/** By old_name. */
	readonly funcs: ReadonlyMap<string, FieldValues>;
}

/** A livepatch module. */
export interface LivepatchSpec {
	readonly name: string;
	readonly sources: readonly SourceRef[];
	/** Its values for fields of replace designs. */
	readonly fields: FieldValues;
	/** Other values for some designs, by design. */
	readonly designs: ReadonlyMap<string, DesignSection>;
	/** Empty: its C code calls klp_enable_patch(). */
	readonly objects: readonly ObjectSpec[];
	readonly states: readonly { readonly id: number; readonly version: number }[];
	readonly position: Position;
}

/** An ordinary module, which a scenario can load and livepatches can patch. */
export interface ModuleSpec {
	readonly name: string;
	readonly sources: readonly SourceRef[];
	readonly position: Position;
}

/** The flags of a ftrace_ops that a scenario can give. */
export const OPS_FLAGS = ["SAVE_REGS", "IPMODIFY", "RECURSION", "RCU", "PERMANENT"] as const;
export type OpsFlag = (typeof OPS_FLAGS)[number];

/** An ops at fentry sites besides livepatches: a tracer, a kprobe, a BPF trampoline. */
export interface OpsSpec {
	readonly name: string;
	/** The functions to which it is attached; empty: all functions. */
	readonly funcs: readonly string[];
	readonly flags: readonly OpsFlag[];
	/** Its call-back in the guest. If this and the two members below are undefined, calls are only counted. */
	readonly func: string | undefined;
	/** The function to which it redirects calls, as a kprobe can; this needs IPMODIFY. */
	readonly ip: string | undefined;
	/** The function that the sites call directly (register_ftrace_direct). */
	readonly direct: string | undefined;
	/** Replaces `direct` while the ops shares a site with an IPMODIFY ops; undefined: it cannot share. */
	readonly shared: string | undefined;
	readonly position: Position;
}

/** The repeated work of a task: the keys of the file, and its name. */
export interface TaskSpec extends Readonly<RawTaskEntries> {
	/** `worker/0` if the file has `worker: { count: 2 }`, else the plain name. */
	readonly name: string;
	/** Position of each of `calls` in the file. */
	readonly callPositions: readonly Position[];
	/** The key in the file; a step that names it means all its tasks. */
	readonly group: string;
	readonly position: Position;
}

export const PATCH_STATES = ["IDLE", "UNPATCHED", "PATCHED"] as const;
/** The kernel's KLP_TRANSITION_IDLE (-1), _UNPATCHED (0) and _PATCHED (1). */
export type PatchState = (typeof PATCH_STATES)[number];

/** Places at which a task in the kernel can lose its CPU. */
export const PREEMPTION: readonly [Preemption, ...Preemption[]] = ["none", "full"];

export const VERDICTS = ["consistent", "violated"] as const;
export type Verdict = (typeof VERDICTS)[number];

/** The values that an `expect` step compares. Absent keys are not compared. */
export interface Expectation {
	/** Names of tasks, groups resolved; the four keys below hold for each of them. */
	readonly tasks: readonly string[];
	readonly patch_state: PatchState | undefined;
	readonly pending: boolean | undefined;
	/** The patchable function on the task's stack, by implementation (`lp2_funcB`); null: none. */
	readonly in: string | null | undefined;
	/** Implementation by function: `lp1_funcA`, or `original`. */
	readonly view: ReadonlyMap<string, string>;
	/** Paths below /sys/kernel/livepatch; null: there is no such file. */
	readonly sysfs: ReadonlyMap<string, string | null>;
	/** Newest first, as in the kernel: implementations, or `nop`. An empty list: the function is not patched. */
	readonly func_stacks: ReadonlyMap<string, readonly string[]>;
	/** Lines that were printed since the last `expect` with this key, in this order, perhaps with others between. */
	readonly dmesg: readonly string[] | undefined;
	/** Calls of an ops of the scenario since it was last registered. */
	readonly calls: ReadonlyMap<string, number>;
	/** Parts of lines of the function trace, in this order, perhaps with others between. */
	readonly trace: readonly string[] | undefined;
	/** Result of the step before: 0 or a negative errno. Also noted as `errno` of that step. */
	readonly errno: number | undefined;
	/** Compared only under these designs; undefined: under every design. */
	readonly designs: readonly string[] | undefined;
}

/** A function that the file names, to be checked against the compiled objects by `checkFunctions`. */
export interface FunctionRef {
	readonly name: string;
	/** The livepatch whose objects must define it; undefined: a function of vmlinux or of a module. */
	readonly livepatch: string | undefined;
	readonly position: Position;
}

/** `file:line:column`, as KlpemuError's `where`. */
export function whereOf(fileName: string, position: Position): string {
	return `${fileName}:${position.line}:${position.column}`;
}

/** True if an `expect` step applies to a design. */
export function appliesTo(expect: Expectation, design: string): boolean {
	return expect.designs === undefined || expect.designs.includes(design);
}

/** Reads a scenario's files. Paths are as in `SourceRef`; the reader knows folder and project. */
export interface FileReader {
	/** undefined: there is no such file. Throws `FILE_UNREADABLE` for every other problem. */
	read(path: string): Promise<Uint8Array | undefined>;
	/** The first candidate that exists; undefined: none. Throws `FILE_UNREADABLE` for a path that is not a file. */
	find(path: string): Promise<string | undefined>;
	/** The absolute paths that `read` and `find` try, in order. */
	candidates(path: string): readonly string[];
}
