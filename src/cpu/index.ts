export * from "./cpu.js";
export { GatePage } from "./gate-page.js";
export { JitCpu } from "./jit/index.js";
