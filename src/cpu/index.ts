export * from "./cpu.js";
export { CPUID } from "./cpuid.js";
export { functionOfGate, GATE_SIZE, GatePage, gateAddress, isGateEntry } from "./gate-page.js";
export { JitCpu } from "./jit/index.js";
export { accessesOf, decodeBytes, type Instruction, type MemoryAccess } from "./x86/index.js";
