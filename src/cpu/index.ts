export * from "./cpu.js";
export { CPUID } from "./cpuid.js";
export { GATE_SIZE, GatePage, gateAddress } from "./gate-page.js";
export { JitCpu } from "./jit/index.js";
export { accessesOf, decodeBytes, type Instruction, type MemoryAccess } from "./x86/index.js";
