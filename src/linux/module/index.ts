export { type KernelObject, kernelObjectOf } from "./kernel-object.js";
export { type InsmodOptions, LoadedModule, Loader, type ModuleState } from "./loader.js";
export { showModules } from "./procfs.js";
export { HEADERS_LAYOUT, structIn } from "./structs.js";
