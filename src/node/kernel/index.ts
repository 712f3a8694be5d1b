/** `klpemu kernel`: the kernel's own livepatch code as a file for the machine. */
export { type BuiltKernel, buildIn, buildKernelCore, type KernelBuildOptions } from "./build.js";
export { type Headers, installedHeaders, PLACES, type Places, readHeaders, sourceFor } from "./headers.js";
export { kernelLayoutFor, LAYOUT_FILE } from "./layouts.js";
export { buildModules } from "./modules.js";
export { readPatch } from "./patches.js";
export { CORE_FILES, unpack } from "./unpack.js";
