export { JitCpu } from "./jit.js";
