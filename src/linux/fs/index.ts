export { Files, type FileTree, type Mount, mountAt, type OpenFile } from "./files.js";
export { mountDynamicDebug, mountKmsg } from "./log.js";
export { mountFtraceEnabled, mountModules, Procfs } from "./procfs.js";
export { mountCpus, mountLivepatch } from "./sysfs.js";
