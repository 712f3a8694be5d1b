export { COND_RESCHED, condReschedFunctions } from "./cond-resched.js";
export { Exports } from "./exports.js";
export { Kobjects } from "./kobjects.js";
export { GuestLivepatch } from "./livepatch.js";
export { lockFunctions, msecs_to_jiffies } from "./locks.js";
export { GuestOutput } from "./output.js";
export { GuestWorkqueue } from "./workqueue.js";
