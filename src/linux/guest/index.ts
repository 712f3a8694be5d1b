export { GuestArguments, type HostFunctions } from "./arguments.js";
export { type CallLabels, type CallStepper, type CallWatch, GuestCalls } from "./call.js";
export { GuestFault, GuestMemory, toPointer } from "./guest-memory.js";
export { Heap } from "./heap.js";
export { HostCalls } from "./host-calls.js";
export { Oops, type OopsObserver } from "./oops.js";
export { Refcounts } from "./refcount.js";
export { runGuest } from "./run-guest.js";
export { Slab } from "./slab.js";
