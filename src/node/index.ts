export { CPU_NAMES, createCpu, DEFAULT_CPU } from "./cpus.js";
export { engineAssembly } from "./engine-image.js";
export { NodeFileReader } from "./files.js";
export * from "./gcc.js";
export { PROJECT } from "./project.js";
