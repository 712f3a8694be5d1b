export { type KernelObject, kernelObjectOf } from "./kernel-object.js";
export { license_is_gpl_compatible } from "./licence.js";
export { type InsmodOptions, LoadedModule, Loader, type ModuleState } from "./loader.js";
export { showModules } from "./procfs.js";
export { moduleReferences } from "./references.js";
export { HEADERS_LAYOUT, structIn } from "./structs.js";
export { ModuleFiles } from "./sysfs.js";
