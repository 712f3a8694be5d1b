export { decisiveWords, type GuestContext } from "./decisive.js";
export type { Read, Written } from "./probe.js";
export type { TaskState, TaskStates } from "./task-state.js";
export { type ArrivalKind, type Effect, type KernelPlace, type SavedWorld, type TaskOutcome, World } from "./world.js";
