export * from "./cpu.js";
export { GatePage, gateAddress } from "./gate-page.js";
export { JitCpu } from "./jit/index.js";
