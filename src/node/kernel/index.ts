/** `klpemu kernel`: the kernel's own livepatch code as a file for the machine. */
export { type BuiltKernel, buildKernelCore, type KernelBuildOptions } from "./build.js";
export { type Headers, installedHeaders, PLACES, type Places, readHeaders, sourceFor } from "./headers.js";
export { kernelLayoutFor, LAYOUT_FILE } from "./layouts.js";
export { buildModules } from "./modules.js";
export { unpack } from "./unpack.js";
