export { CPU_NAMES, createCpu, DEFAULT_CPU } from "./cpus.js";
export { assembleEngineImage, engineImage } from "./engine-image.js";
export { NodeFileReader } from "./files.js";
export * from "./gcc.js";
export { loadKeystone } from "./keystone.js";
export { PROJECT } from "./project.js";
