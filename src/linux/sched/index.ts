export { HostTasks } from "./host-tasks.js";
export { CpuHotplug } from "./hotplug.js";
export { PERCPU_MODULES, PerCpu, PerCpuChunk } from "./percpu.js";
export { readersHavePassed, synchronize_rcu, synchronize_rcu_tasks } from "./rcu.js";
export { COND_RESCHED_STEP, type EmulatedCpu, type Preemption, Sched, type TaskStructs } from "./sched.js";
export { KernelStacks, THREAD_SIZE } from "./stacks.js";
export * from "./task.js";
export { type Accessor, accessField, initTaskUsage, keepSleepState } from "./task-access.js";
export {
	MAX_STACK_ENTRIES,
	type RowLookup,
	type Stack,
	type StackTrace,
	stack_trace_save_tsk_reliable,
} from "./unwind.js";
export { type ReplacedReturns, type TraceOf, Unwinder, type UnwindRows } from "./unwinder.js";
export { Workqueue, type work_struct } from "./workqueue.js";
