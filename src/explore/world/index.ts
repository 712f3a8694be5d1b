export type { ArrivalKind, KernelPlace } from "./actors.js";
export { decisiveWords, type GuestContext } from "./decisive.js";
export type { Read, Written } from "./probe.js";
export type { SavedWorld } from "./saved-world.js";
export type { TaskState, TaskStates } from "./task-state.js";
export { type Effect, type TaskOutcome, World } from "./world.js";
