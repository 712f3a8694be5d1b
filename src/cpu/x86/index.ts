export { accessesOf, type MemoryAccess } from "./accesses.js";
export { AccessesAt } from "./accesses-at.js";
export { type DataFlow, dataFlowOf, FLAGS } from "./data-flow.js";
export {
	type Decoded,
	decodeBytes,
	type ImmediateOperand,
	type Instruction,
	MAX_INSTRUCTION_BYTES,
	type MemoryOperand,
	type NotDecoded,
	type Operand,
	type RegisterOperand,
	type RelativeOperand,
	type Size,
} from "./decoder.js";
export { format } from "./format.js";
export { OPCODES, type OpcodeRow, type Semantic } from "./table.js";
