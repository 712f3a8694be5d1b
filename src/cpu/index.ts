export * from "./cpu.js";
export { GatePage } from "./gates.js";
