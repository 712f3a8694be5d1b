export { type BuiltKit, buildKit, findKernel, type VmKernel } from "./kits.js";
export { type Accelerator, type Boot, boot, type KitRun, type VmOptions } from "./qemu.js";
