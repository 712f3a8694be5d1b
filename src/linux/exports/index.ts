export { COND_RESCHED, condReschedFunctions } from "./cond-resched.js";
export { Exports } from "./exports.js";
export { aliasOf } from "./kernel-abi.js";
export { KernelData } from "./kernel-data.js";
export { Kobjects } from "./kobjects.js";
export { GuestLivepatch } from "./livepatch.js";
export { lockFunctions, msecs_to_jiffies } from "./locks.js";
export { GuestOutput } from "./output.js";
export { GuestWorkqueue } from "./workqueue.js";
