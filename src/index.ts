/**
 * klpemu: an emulated x86-64 ftrace trampoline engine with a faithful kernel livepatch core.
 *
 * Most users want {@link parseScenario}, {@link runScenario} and {@link exploreScenario}; {@link Machine} is the engine
 * underneath. All of it runs in a browser too: the engine gets files, Cpus and assemblers through a {@link Host}. The
 * host for Node, and all other code that needs Node, is in `klpemu/node`.
 *
 * @module
 */

export { assemble, type EngineImage, Keystone } from "./assemble/index.js";
export { type EmscriptenLoader, KlpemuError } from "./base/index.js";
export {
	type CheckOptions,
	type CheckReport,
	checkModule,
	type Finding,
	type InputFile,
	KINDS as CHECK_KINDS,
} from "./check/index.js";
export {
	type Broken,
	INVARIANTS,
	type Invariant,
	InvariantChecker,
	type Violation,
	type WatchedFunction,
} from "./consistency/index.js";
export { type Cpu, CpuState, type Fault, type Gate, GatePage, JitCpu, type Stop } from "./cpu/index.js";
export { designs, findDesign } from "./designs/index.js";
export { Disassembler, disasmObject, type Instruction } from "./disasm/index.js";
export { type ElfObject, type Image, linkImage, parseElf, UndefinedSymbols } from "./elf/index.js";
export {
	type Exploration,
	explore,
	formatSchedule,
	type Model,
	type Move,
	minimise,
	parseSchedule,
	Replayer,
	type Schedule,
	type SearchOptions,
	type Shard,
	tellStory,
} from "./explore/index.js";
export { FTRACE_OPS_CMD, FTRACE_OPS_FL, ftrace_ops } from "./linux/ftrace/index.js";
export {
	type Design,
	Klp,
	klp_func,
	klp_object,
	klp_ops,
	klp_patch,
	LINUX_6_12,
	type Livepatch,
	type Release,
} from "./linux/klp/index.js";
export { KernelLayout, parseKernelCore, parseKernelLayout } from "./linux/klp-c/index.js";
export {
	errnoName,
	type Kernel,
	type Point,
	place,
	runStraight,
	type ShouldFail,
	type Wait,
} from "./linux/lib/index.js";
export type { LoadedModule } from "./linux/module/index.js";
export { task_struct } from "./linux/sched/index.js";
export { boot, Machine, type MachineOptions, type NewTask, type Observer } from "./machine/index.js";
export { BACKING, hex, isKaddr, type Kaddr, Memory, PERM, type Region, toKaddr, toU64 } from "./memory/index.js";
export {
	type Lane,
	type Report,
	renderFtrace,
	renderPerfetto,
	renderReport,
	renderSvg,
	renderTraceCmd,
	type Timeline,
	type TimelineEvent,
} from "./report/index.js";
export {
	createModel,
	createScenarioMachine,
	exploreScenario,
	type FileReader,
	type Host,
	livepatch,
	type ObjectLoader,
	parseScenario,
	Recorder,
	type RunScenarioOptions,
	replaySchedule,
	runScenario,
	type Scenario,
} from "./scenario/index.js";
