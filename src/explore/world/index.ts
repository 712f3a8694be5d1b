export type { KernelPlace } from "./actors.js";
export { decisiveWords, type GuestContext } from "./decisive.js";
export type { Read, Written } from "./probe.js";
export type { SavedWorld } from "./saved-world.js";
export type { TaskState, TaskStates } from "./task-state.js";
export { type ArrivalKind, type Effect, type TaskOutcome, World } from "./world.js";
