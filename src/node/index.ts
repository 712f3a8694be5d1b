export { loadCapstone } from "./capstone.js";
export { CPU_NAMES, createCpu, DEFAULT_CPU } from "./cpus.js";
export { assembleEngineImage, engineImage } from "./engine-image.js";
export { runExec } from "./exec-lines.js";
export { NodeFileReader, readText } from "./files.js";
export * from "./gcc.js";
export { nodeHost } from "./host.js";
export { loadKeystone } from "./keystone.js";
export { PROJECT } from "./project.js";
