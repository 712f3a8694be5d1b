export { EnabledFunctions } from "./enabled-functions.js";
export { FunctionGraph } from "./fgraph.js";
export { Ftrace } from "./ftrace.js";
export { GraphTracer } from "./graph-tracer.js";
export {
	type dyn_ftrace,
	FRAME_SIZE,
	FTRACE_FL,
	FTRACE_OPS_CMD,
	FTRACE_OPS_FL,
	type ftrace_func_t,
	ftrace_ops,
	type ftrace_ops_cmd,
	PT_REGS,
} from "./ops.js";
export {
	clearLastRecursion,
	isRecursion,
	TRACE_FTRACE_START,
	trace_clear_recursion,
	trace_test_and_set_recursion,
} from "./recursion.js";
export { RecoverReturns } from "./rethook.js";
export { TRACE_ENTRIES_MAX } from "./ring-buffer.js";
export { Symbols } from "./symbols.js";
export { ftrace_call_replace, INT3_INSN_OPCODE, MCOUNT_INSN_SIZE, NOP5, TextPoke } from "./text-poke.js";
export * from "./trace-format.js";
export { Tracefs } from "./tracefs.js";
export { FunctionTracer, type TraceEntry } from "./tracer.js";
export type { Trampoline, TrampolineTemplates } from "./trampoline.js";
