export { GuestArguments, type HostFunctions, isBadPointer, stringAt } from "./arguments.js";
export { GuestCalls, type GuestCallsEnvironment } from "./call.js";
export { GuestKernel } from "./exports.js";
export { Heap } from "./heap.js";
export { Kobjects } from "./kobjects.js";
export { GuestLivepatch, type GuestLivepatchEnvironment } from "./livepatch.js";
export { lockFunctions, msecs_to_jiffies } from "./locks.js";
export { GuestOutput } from "./output.js";
export { GuestWorkqueue } from "./workqueue.js";
