export { Disassembler, type Instruction } from "./disassembler.js";
export { disasmObject } from "./object.js";
