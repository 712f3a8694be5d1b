export * from "./cpu.js";
