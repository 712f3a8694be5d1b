export { type Continuation, Executor, type ExecutorHooks, THREAD_SIZE } from "./executor.js";
export { CpuHotplug } from "./hotplug.js";
export { synchronize_rcu, synchronize_rcu_tasks } from "./rcu.js";
export { type EmulatedCpu, Sched } from "./sched.js";
export * from "./task.js";
export { type Accessor, accessField } from "./task-access.js";
export {
	MAX_STACK_ENTRIES,
	type RowLookup,
	type Stack,
	type StackTrace,
	stack_trace_save_tsk_reliable,
} from "./unwind.js";
export { Workqueue, type work_struct } from "./workqueue.js";
