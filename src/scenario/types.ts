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
	/** Which of several symbols called `old_name`, counted from 1; 0 says that there must be only one. */
	readonly sympos: number;
	/** Only the `per-func-reject` design reads it. */
	readonly replaceable: boolean | undefined;
	readonly position: Position;
}

/** What a livepatch changes in vmlinux or in one module: the kernel's struct klp_object. */
export interface ObjectSpec {
	/** `vmlinux`, or the name of a module. */
	readonly name: string;
	readonly funcs: readonly FuncSpec[];
	readonly position: Position;
}

/** A livepatch module. `undefined` says that the scenario is silent: the design has its own default. */
export interface LivepatchSpec {
	readonly name: string;
	readonly sources: readonly SourceRef[];
	/** A number is the tag of the `replace-tag-draft` design. */
	readonly replace: boolean | number | undefined;
	readonly replaceable: boolean | undefined;
	readonly replace_set: number | undefined;
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

/** What stands beside livepatches at fentry sites: a tracer, a kprobe, a BPF trampoline. */
export interface OpsSpec {
	readonly name: string;
	/** The functions it is attached to; none: all there are. */
	readonly funcs: readonly string[];
	readonly flags: readonly OpsFlag[];
	/** Its call-back in the guest. undefined, as are the two below: calls are counted, and that is all. */
	readonly func: string | undefined;
	/** Where it sends calls to, as a kprobe can; IPMODIFY goes with it. */
	readonly ip: string | undefined;
	/** The function that the sites call directly (register_ftrace_direct). */
	readonly direct: string | undefined;
	/** What takes the place of `direct` when it shares a site with an IPMODIFY ops; undefined: it cannot share. */
	readonly shared: string | undefined;
	readonly position: Position;
}

/** What a task does, over and over. */
export interface TaskSpec {
	/** `worker/0` when the file says `worker: { count: 2 }`, else the plain name. */
	readonly name: string;
	/** The key in the file; a step that names it means all its tasks. */
	readonly group: string;
	readonly kthread: boolean;
	/** Functions it calls, one after the other, each time it enters the kernel (a kthread: in each round of its loop). */
	readonly calls: readonly string[];
	/** The function in whose body it falls asleep, in whatever implementation it reaches, until a `wake` step. */
	readonly sleeps_in: string | undefined;
	/** A signal ends that sleep too. */
	readonly interruptible: boolean;
	/** The CPU it is bound to. */
	readonly cpu: number | undefined;
	/** It starts asleep outside every patchable function and stays so until a `wake` step. */
	readonly idle: boolean;
	/** Explorer only: it may fork a task like itself (once), or exit, at any time in user mode. */
	readonly fork: boolean;
	readonly exit: boolean;
	readonly position: Position;
}

export const PATCH_STATES = ["IDLE", "UNPATCHED", "PATCHED"] as const;
/** The kernel's KLP_TRANSITION_IDLE (-1), _UNPATCHED (0) and _PATCHED (1). */
export type PatchState = (typeof PATCH_STATES)[number];

/** Can a task lose its CPU in kernel mode, where it does not sleep? */
export const PREEMPTION = ["none", "full"] as const;
export type Preemption = (typeof PREEMPTION)[number];

export const VERDICTS = ["consistent", "violated"] as const;
export type Verdict = (typeof VERDICTS)[number];

/** What an `expect` step compares. Absent keys are not compared. */
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

/** The value of a module parameter: its text, or tasks whose pids it is. */
export type ParamValue = string | { readonly pids: readonly string[] };

interface StepBase {
	readonly position: Position;
	/** The result that the scenario expects: 0, or the negative errno of this step's `errno` key or of the `expect` after it. */
	readonly errno: number;
	/** Where an `expect` after it gives other results for some designs. See `expectedErrno`. */
	readonly errnoByDesign: ReadonlyMap<string, number>;
}

/** A step; tasks and livepatches that it names exist. */
export type Step = StepBase &
	(
		| { readonly kind: "insmod"; readonly module: string; readonly params: ReadonlyMap<string, ParamValue> }
		| { readonly kind: "rmmod"; readonly module: string }
		/** Runs until no transition is in progress; more than `rounds` rounds are an error. */
		| { readonly kind: "settle"; readonly rounds: number }
		/** Without tasks: `rounds` rounds of everything. With tasks: until each of them sleeps; more than `rounds` are an error. */
		| { readonly kind: "run"; readonly rounds: number; readonly tasks: readonly string[] }
		/** Lets so many seconds of the machine's time pass. */
		| { readonly kind: "sleep"; readonly seconds: number }
		| { readonly kind: "disable"; readonly livepatch: string }
		| { readonly kind: "enable"; readonly livepatch: string }
		/** Writes the opposite of what `enabled` holds; undefined: of the patch that is in transition. */
		| { readonly kind: "reverse"; readonly livepatch: string | undefined }
		| { readonly kind: "force"; readonly livepatch: string | undefined }
		/** Writes a file; `path` is absolute. */
		| { readonly kind: "echo"; readonly path: string; readonly value: string }
		/** Reads a file; `path` is absolute. `value`: what it must hold (without the newline). */
		| {
				readonly kind: "cat";
				readonly path: string;
				readonly value: string | undefined;
				/** Only lines with this text. */
				readonly grep: string | undefined;
				/** An absolute path, to which what was read is written, if it is anything. */
				readonly to: string | undefined;
		  }
		/** Compares the access rights of a file or directory: `-rw-r--r--`. */
		| { readonly kind: "stat"; readonly path: string; readonly rights: string }
		/** Writes a file below /proc/sys; `name` has dots, as sysctl(8) takes it. */
		| { readonly kind: "sysctl"; readonly name: string; readonly value: string }
		/** register_ftrace_function() or register_ftrace_direct() of one of the scenario's ops, and the reverse. */
		| { readonly kind: "register" | "unregister"; readonly ops: string }
		| { readonly kind: "cpu_up" | "cpu_down"; readonly cpu: number }
		| { readonly kind: "wake"; readonly tasks: readonly string[] }
		/** The child copies TIF_PATCH_PENDING and patch_state of its parent (klp_copy_process). */
		| { readonly kind: "fork"; readonly parent: string; readonly child: TaskSpec }
		| { readonly kind: "exit"; readonly tasks: readonly string[] }
		/** The task calls the function once, now, and comes back; `value`: what rax must hold then. */
		| { readonly kind: "call"; readonly task: string; readonly func: string; readonly value: bigint | undefined }
		/** Lists of steps that administrators make at the same time (explorer), or one list after the other (run). */
		| { readonly kind: "race"; readonly actors: readonly (readonly Step[])[] }
		/** Does nothing; the report shows the machine's state under this title. */
		| { readonly kind: "state"; readonly title: string }
		/** Begins a test: what is printed from here on is compared with what the transcript has under this title. */
		| { readonly kind: "test"; readonly title: string }
		| { readonly kind: "expect"; readonly expect: Expectation }
	);

export type StepKind = Step["kind"];

/** A checked scenario, defaults filled in. */
export interface Scenario {
	/** As given to `parseScenario`; sources are relative to its folder. */
	readonly fileName: string;
	readonly title: string;
	/** Where the scenario comes from, usually a mail. */
	readonly source: string | undefined;
	readonly design: string;
	/** undefined: whichever Cpu is the default. */
	readonly cpu: string | undefined;
	readonly cpus: number;
	/** Explorer only. */
	readonly preemption: Preemption;
	/** An unsigned 64-bit number. */
	readonly seed: bigint;
	/** Timer ticks per second (CONFIG_HZ). */
	readonly hz: number;
	/** Guest code starts its functions with endbr64 (-fcf-protection=branch). */
	readonly ibt: boolean;
	/** Guest memory in bytes. */
	readonly memory: number;
	readonly vmlinux: readonly SourceRef[];
	readonly modules: ReadonlyMap<string, ModuleSpec>;
	readonly livepatches: ReadonlyMap<string, LivepatchSpec>;
	readonly ops: ReadonlyMap<string, OpsSpec>;
	/** By name, counts expanded, in the order of the file. */
	readonly tasks: ReadonlyMap<string, TaskSpec>;
	/** The transcript of a selftest script, relative to the scenario. */
	readonly selftest: SourceRef | undefined;
	readonly steps: readonly Step[];
	readonly functions: readonly FunctionRef[];
	/** See `expectedVerdict`. `default` is undefined when the file lists verdicts by design only. */
	readonly expect: {
		readonly default: Verdict | undefined;
		readonly byDesign: ReadonlyMap<string, Verdict>;
	};
}

/** `file:line:column`, as KlpemuError's `where`. */
export function whereOf(fileName: string, position: Position): string {
	return `${fileName}:${position.line}:${position.column}`;
}

/** The verdict the scenario expects under a design; undefined: it does not say. */
export function expectedVerdict(scenario: Scenario, design: string): Verdict | undefined {
	return scenario.expect.byDesign.get(design) ?? scenario.expect.default;
}

/** The result the scenario expects of a step under a design. */
export function expectedErrno(step: Step, design: string): number {
	return step.errnoByDesign.get(design) ?? step.errno;
}

/** Whether an `expect` step speaks about a design. */
export function appliesTo(expect: Expectation, design: string): boolean {
	return expect.designs === undefined || expect.designs.includes(design);
}

/** How a scenario's files are read. Paths are as `SourceRef` has them; the reader knows folder and project. */
export interface FileReader {
	/** undefined: there is no such file. Anything else that is wrong throws `FILE_UNREADABLE`. */
	read(path: string): Promise<Uint8Array | undefined>;
	/** The first of the candidates that is there; undefined: none. What is no file throws `FILE_UNREADABLE`. */
	find(path: string): Promise<string | undefined>;
	/** Where `read` and `find` look: absolute paths in order. */
	candidates(path: string): readonly string[];
}
