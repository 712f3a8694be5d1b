export { GuestArguments, type HostFunctions, isBadPointer, stringAt } from "./arguments.js";
export { GuestCalls } from "./call.js";
export { Heap } from "./heap.js";
export { HostCalls } from "./host-calls.js";
export { Oops, type OopsObserver } from "./oops.js";
export { Slab } from "./slab.js";
