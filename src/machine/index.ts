export { assembleEngine, ENGINE_SOURCES, type EngineSource, fitsLayout } from "./assembly.js";
export { COND_RESCHED } from "./gates.js";
export { LAYOUT } from "./layout.js";
export { type LoadedModule, Machine, type MachineOptions, type NewTask } from "./machine.js";
export type { Observer } from "./observers.js";
export { restoreMachine, type SavedMachine, saveMachine } from "./snapshot.js";
