export { COND_RESCHED, condReschedFunctions } from "./cond-resched.js";
export { Exports } from "./exports.js";
export { aliasOf } from "./kernel-abi.js";
export { KernelData } from "./kernel-data.js";
export { CpuVariables, kernelVariables } from "./kernel-variables.js";

export { GuestOutput, MAX_LINES } from "./output.js";
export { jiffiesLeft, SCHEDULE_TIMEOUT, scheduleFunctions, timeoutOf } from "./schedule.js";
export { SPIN_LOCK } from "./spin-locks.js";
