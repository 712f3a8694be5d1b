export { JitCpu, type JitOptions } from "./jit.js";
export { CompiledModules } from "./modules.js";
