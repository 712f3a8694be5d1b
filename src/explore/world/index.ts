export type { AccessNotes } from "./access-log.js";
export type { ArrivalKind, KernelPlace } from "./actors.js";
export { decisiveWords, type GuestContext } from "./decisive.js";
export type { Effect, TaskOutcome } from "./effect.js";
export type { Read, Written } from "./probe.js";
export type { KeptWorld, SavedWorld } from "./saved-world.js";
export type { KnownMemory } from "./shared-memory.js";
export type { TaskContent, TaskState, TaskStates } from "./task-state.js";
export { World } from "./world.js";
