/**
 * klpemu: an emulated x86-64 ftrace trampoline engine with a faithful kernel livepatch core.
 *
 * Most users want {@link parseScenario} and {@link runScenario}; {@link Machine} is the engine underneath.
 *
 * @module
 */

export { assemble } from "./assemble/index.js";
export { KlpemuError } from "./base/index.js";
export { type Cpu, CpuState, type Fault, type Gate, GatePage, type Stop } from "./cpu/index.js";
export { designs, findDesign } from "./designs/index.js";
export { type ElfObject, type Image, linkImage, parseElf } from "./elf/index.js";
export {
	type Exploration,
	explore,
	formatSchedule,
	InvariantChecker,
	type Model,
	type Move,
	minimise,
	parseSchedule,
	Replayer,
	resolveView,
	type Schedule,
	type SearchOptions,
	type Shard,
	tellStory,
	type Violation,
	type WatchedFunction,
} from "./explore/index.js";
export { Files } from "./linux/fs/index.js";
export {
	DirectFunctions,
	FTRACE_OPS_CMD,
	FTRACE_OPS_FL,
	Ftrace,
	FunctionTracer,
	ftrace_ops,
	TextPoke,
	Tracefs,
} from "./linux/ftrace/index.js";
export { type Design, Klp, klp_func, klp_object, klp_ops, klp_patch, type Livepatch } from "./linux/klp/index.js";
export {
	Dmesg,
	errnoName,
	type Kernel,
	type Point,
	place,
	runStraight,
	type ShouldFail,
	type Wait,
} from "./linux/lib/index.js";
export { Loader } from "./linux/module/index.js";
export { CpuHotplug, Sched, task_struct } from "./linux/sched/index.js";
export { type LoadedModule, Machine, type MachineOptions, type NewTask } from "./machine/index.js";
export { BACKING, hex, isKaddr, type Kaddr, Memory, PERM, type Region, toKaddr, toU64 } from "./memory/index.js";
export { CPU_NAMES, createCpu, DEFAULT_CPU } from "./node/index.js";
export { type Report, renderReport } from "./report/index.js";
export {
	createModel,
	createScenarioMachine,
	exploreScenario,
	livepatch,
	parseScenario,
	type RunScenarioOptions,
	replaySchedule,
	runScenario,
	type Scenario,
} from "./scenario/index.js";
