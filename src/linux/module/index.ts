export { Symbols } from "./kallsyms.js";
export { type InsmodOptions, LoadedModule, Loader, type LoaderEnvironment, type ModuleState } from "./loader.js";
