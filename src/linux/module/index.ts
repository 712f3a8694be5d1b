export { type InsmodOptions, LoadedModule, Loader, type ModuleState } from "./loader.js";
export { showModules } from "./procfs.js";
