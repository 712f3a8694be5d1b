export { benchMachine, chooseCore, coreFile, enable, KERNEL, kernelCore, type TestPatch } from "./guest.js";
export { describeMachine, type MachineDescription, machineWarnings, type Versions, versions } from "./host.js";
export { type Case, measureRounds, type RoundOptions, type Rounds, type Timed, timed } from "./measure.js";
export * from "./stats.js";
export type * from "./types.js";
