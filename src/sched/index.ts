export { type Continuation, Executor, type ExecutorHooks, THREAD_SIZE } from "./executor.js";
export { Random } from "./random.js";
export { type EmulatedCpu, Sched } from "./sched.js";
export * from "./task.js";
export { Workqueue, type work_struct } from "./workqueue.js";
