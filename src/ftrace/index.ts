export { Ftrace, type FtraceEnvironment } from "./ftrace.js";
export {
	type dyn_ftrace,
	FRAME_SIZE,
	FTRACE_FL,
	FTRACE_OPS_FL,
	type ftrace_func_t,
	ftrace_ops,
	PT_REGS,
} from "./ops.js";
export { ftrace_call_replace, INT3_INSN_OPCODE, MCOUNT_INSN_SIZE, NOP5, TextPoke } from "./text_poke.js";
export { type Trampoline, Trampolines, type TrampolineTemplates } from "./trampoline.js";
