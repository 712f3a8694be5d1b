export { Klp, type KlpEnvironment } from "./core.js";
export { type Design, HANDLER_AT, type HandlerAt, type HandlerChoice, type PatchAttribute } from "./design.js";
export { ModuleNotifier } from "./module.js";
export { kstrtobool, Sysfs } from "./sysfs.js";
export { onStack } from "./transition.js";
export * from "./types.js";
