import type { Preemption } from "../linux/sched/index.js";
import type { Step, StepBase } from "./steps/index.js";
import type { FunctionRef, LivepatchSpec, ModuleSpec, OpsSpec, SourceRef, TaskSpec, Verdict } from "./types.js";

/** A checked scenario, defaults filled in. */
export interface Scenario {
	/** As given to `parseScenario`; sources are relative to its folder. */
	readonly fileName: string;
	readonly title: string;
	/** Source of the scenario, usually a mail. */
	readonly source: string | undefined;
	readonly design: string;
	/** The kernel's own livepatch core, a file; undefined: the core in TypeScript. Relative to the scenario. */
	readonly core: SourceRef | undefined;
	/** undefined: the default Cpu. */
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
	/** See `expectedVerdict`. */
	readonly expect: Verdicts;
	readonly explore: {
		/** Of the explorer; undefined: the same as `expect`. */
		readonly expect: Verdicts | undefined;
		/** By the title of a step: results that it also has, in some schedules. */
		readonly mayFail: ReadonlyMap<string, readonly number[]>;
	};
}

/** Verdicts by design. `default` is undefined if the file lists verdicts by design only. */
export interface Verdicts {
	readonly default: Verdict | undefined;
	readonly byDesign: ReadonlyMap<string, Verdict>;
}

/** The verdict that the scenario expects under a design; undefined: it expects none. */
export function expectedVerdict(scenario: Scenario, design: string): Verdict | undefined {
	return scenario.expect.byDesign.get(design) ?? scenario.expect.default;
}

/** The result that the scenario expects of a step under a design. */
export function expectedErrno(step: StepBase, design: string): number {
	return step.errnoByDesign.get(design) ?? step.errno;
}
