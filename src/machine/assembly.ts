import type { Assembled } from "../assemble/index.js";
import { KlpemuError } from "../base/index.js";
import type { GatePage } from "../cpu/index.js";
import type { TrampolineTemplates } from "../linux/ftrace/index.js";
import type { Kaddr } from "../memory/index.js";
import { LAYOUT } from "./layout.js";

/** The address of a label. Throws `ASM_LABEL_MISSING`. */
export function label(code: Assembled, name: string): Kaddr {
	const address = code.symbols.get(name);
	if (address === undefined) throw new KlpemuError("ASM_LABEL_MISSING", `the assembly has no label '${name}'`);
	return address;
}

/** What ftrace must know of its assembly: `ftrace` is asm/ftrace_64.S, `ops` asm/ftrace_ops.S. */
export function trampolineTemplates(ftrace: Assembled, ops: Assembled, gates: GatePage): TrampolineTemplates {
	const at = (name: string) => label(ftrace, name);
	return {
		ftrace_stub: at("ftrace_stub"),
		ftrace_caller: at("ftrace_caller"),
		ftrace_caller_op_ptr: at("ftrace_caller_op_ptr"),
		ftrace_call: at("ftrace_call"),
		ftrace_caller_end: at("ftrace_caller_end"),
		ftrace_regs_caller: at("ftrace_regs_caller"),
		ftrace_regs_caller_op_ptr: at("ftrace_regs_caller_op_ptr"),
		ftrace_regs_call: at("ftrace_regs_call"),
		ftrace_regs_caller_jmp: at("ftrace_regs_caller_jmp"),
		ftrace_regs_caller_end: at("ftrace_regs_caller_end"),
		function_trace_op: LAYOUT.data,
		ftrace_ops_list_func: label(ops, "ftrace_ops_list_func"),
		ftrace_ops_assist_func: label(ops, "ftrace_ops_assist_func"),
		call_direct_funcs: gates.find("call_direct_funcs")!,
	};
}
