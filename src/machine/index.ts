export { assembleEngine, ENGINE_SOURCES, type EngineSource, fitsLayout } from "./assembly.js";
export { boot, type MachineOptions } from "./boot.js";
export { ENGINE_GATES, KERNEL_GATES, LAYOUT } from "./layout.js";
export { Machine } from "./machine.js";
export type { Observer } from "./observers.js";
export { listTasks, namesOf, placeOf } from "./places.js";
export type { Shell } from "./shell.js";
export { restoreMachine, type SavedMachine, saveMachine } from "./snapshot.js";
export { MAX_ARGUMENTS, type NewTask, type Tasks } from "./tasks.js";
