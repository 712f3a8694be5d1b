/** `klpemu kernel`: the kernel's own livepatch code as a file for the machine. */
export { type BuiltKernel, buildKernelCore, type KernelBuildOptions } from "./build.js";
export type { Places } from "./headers.js";
