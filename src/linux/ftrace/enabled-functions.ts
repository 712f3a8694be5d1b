import type { Cpu } from "../../cpu/index.js";
import type { Kaddr } from "../../memory/index.js";
import type { Ftrace } from "./ftrace.js";
import { type dyn_ftrace, FTRACE_FL, FTRACE_OPS_FL, type ftrace_ops } from "./ops.js";
import type { Symbols } from "./symbols.js";
import { CALL_INSN_OPCODE, MCOUNT_INSN_SIZE } from "./text-poke.js";

/**
 * enabled_functions and touched_functions, as t_show() of kernel/trace/ftrace.c prints them: the number of ops, a column each for R
 * (registers), I (IPMODIFY), D (DIRECT), O (never on x86) and M (has once had I or D), then what the site calls.
 */
export class EnabledFunctions {
	readonly #memory: Cpu["memory"];
	readonly #ftrace: Ftrace;
	readonly #symbols: Symbols;

	constructor(memory: Cpu["memory"], ftrace: Ftrace, symbols: Symbols) {
		this.#memory = memory;
		this.#ftrace = ftrace;
		this.#symbols = symbols;
	}

	/** Functions to which an ops is attached. */
	enabled(): string[] {
		return this.#show((rec) => (rec.flags & FTRACE_FL.ENABLED) !== 0);
	}

	/** Functions to which an ops has been attached since the machine was started. */
	touched(): string[] {
		return this.#show((rec) => (this.#ftrace.sites.noclear(rec) & FTRACE_FL.TOUCHED) !== 0);
	}

	#show(wanted: (rec: dyn_ftrace) => boolean): string[] {
		return this.#ftrace.sites.sorted.filter(wanted).flatMap((rec) => this.#t_show(rec));
	}

	#t_show(rec: dyn_ftrace): string[] {
		const flags = rec.flags | this.#ftrace.sites.noclear(rec);
		const column = (flag: number, letter: string) => (flags & flag ? ` ${letter}` : "  ");
		const { REGS, IPMODIFY, DIRECT, MODIFIED, TRAMP_EN } = FTRACE_FL;
		const columns = [column(REGS, "R"), column(IPMODIFY, "I"), column(DIRECT, "D"), "  ", column(MODIFIED, "M"), " "];
		const calls = flags & TRAMP_EN ? this.#trampolines(rec) : this.#trampolineFunc(undefined, rec);
		const line = `${this.#symbols.name(rec.ip)} (${rec.count})${columns.join("")}${calls}`;
		const direct = flags & DIRECT ? this.#ftrace.direct.ftrace_find_rec_direct(rec.ip) : 0;
		return direct === 0 ? [line] : [line, `\tdirect-->${this.#pS(direct)}`];
	}

	#pS(address: Kaddr): string {
		return this.#symbols.sprint_symbol(address, false);
	}

	/** The ops that trace the function and have a trampoline (ftrace_find_tramp_ops_any, ftrace_find_tramp_ops_next). */
	#trampolines(rec: dyn_ftrace): string {
		const all = [...this.#ftrace.ftrace_ops_list].filter((ops) => ops.trampoline !== 0 && ops.traces(rec.ip));
		if (all.length === 0) return "\ttramp: ERROR!";
		const one = (ops: ftrace_ops) =>
			`\ttramp: ${this.#pS(ops.trampoline)} (${this.#pS(ops.func)})${this.#trampolineFunc(ops, rec)}`;
		return all.map(one).join("");
	}

	/** add_trampoline_func(), arch_ftrace_trampoline_func(): the function that the trampoline calls. */
	#trampolineFunc(ops: ftrace_ops | undefined, rec: dyn_ftrace): string {
		const { ftrace_caller, ftrace_call, ftrace_regs_caller, ftrace_regs_call } = this.#ftrace.templates;
		let call: Kaddr;
		if (ops !== undefined && ops.flags & FTRACE_OPS_FL.ALLOC_TRAMP) {
			const regs = (ops.flags & FTRACE_OPS_FL.SAVE_REGS) !== 0;
			call = (ops.trampoline + (regs ? ftrace_regs_call - ftrace_regs_caller : ftrace_call - ftrace_caller)) | 0;
		} else {
			// A trampoline that does not belong to the ops, for example that of a DIRECT ops: static_tramp_func()
			// prints nothing for it.
			if (ops !== undefined) return "";
			call = rec.flags & FTRACE_FL.REGS_EN ? ftrace_regs_call : ftrace_call;
		}
		if (this.#memory.u8(call) !== CALL_INSN_OPCODE) return "";
		const target = (call + MCOUNT_INSN_SIZE + (this.#memory.u32((call + 1) | 0) | 0)) | 0;
		return ` ->${this.#pS(target)}`;
	}
}
