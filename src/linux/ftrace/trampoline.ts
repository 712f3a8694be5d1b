import { declareState } from "../../base/index.js";
import type { Kaddr, Memory } from "../../memory/index.js";
import type { FaultInjection, GuestAreas, Kernel } from "../lib/index.js";
import { FTRACE_OPS_FL, type ftrace_ops } from "./ops.js";
import { ftrace_call_replace, INT3_INSN_OPCODE, RET_INSN_OPCODE, sameBytes, type TextPoke } from "./text-poke.js";

/** Addresses of the labels in asm/ftrace_64.S, and of the data it refers to. */
export interface TrampolineTemplates {
	readonly ftrace_stub: Kaddr;
	readonly ftrace_caller: Kaddr;
	readonly ftrace_caller_op_ptr: Kaddr;
	readonly ftrace_call: Kaddr;
	readonly ftrace_caller_end: Kaddr;
	readonly ftrace_regs_caller: Kaddr;
	readonly ftrace_regs_caller_op_ptr: Kaddr;
	readonly ftrace_regs_call: Kaddr;
	readonly ftrace_regs_caller_jmp: Kaddr;
	readonly ftrace_regs_caller_end: Kaddr;
	readonly return_to_handler: Kaddr;
	readonly arch_rethook_trampoline: Kaddr;
	/** The variable that the shared ftrace_caller loads its ops from. */
	readonly function_trace_op: Kaddr;
	readonly ftrace_ops_list_func: Kaddr;
	readonly ftrace_ops_assist_func: Kaddr;
	/** A gate: the call-back of DIRECT ops. */
	readonly call_direct_funcs: Kaddr;
}

/** `movq disp32(%rip), %rdx`: 48 8b 15 and four bytes. */
const OP_REF = [0x48, 0x8b, 0x15];
const OP_REF_SIZE = 7;
const RET_SIZE = 2;

/** Address of a trampoline, and the part of the template of which it is a copy, for the unwinder. */
export interface Trampoline {
	readonly ops: ftrace_ops;
	readonly address: Kaddr;
	readonly size: number;
	/** The template's address of the instruction at `address`. */
	readonly template: Kaddr;
}

/** Copies of ftrace_caller that serve one ops each (create_trampoline, arch/x86/kernel/ftrace.c). */
export class Trampolines {
	static readonly state = declareState("Trampolines", { fields: ["live"] });

	readonly #memory: Memory;
	readonly #text_poke: TextPoke;
	readonly #templates: TrampolineTemplates;
	readonly #areas: GuestAreas;
	readonly #faults: FaultInjection;
	/** Live trampolines by the page they start on; each has pages of its own. */
	readonly live = new Map<Kaddr, Trampoline>();

	constructor(
		memory: Memory,
		text_poke: TextPoke,
		templates: TrampolineTemplates,
		areas: GuestAreas,
		faults: FaultInjection,
	) {
		this.#memory = memory;
		this.#text_poke = text_poke;
		this.#templates = templates;
		this.#areas = areas;
		this.#faults = faults;
	}

	/** The function that an ops' own trampoline, or ftrace_caller, calls for the ops. */
	ftrace_ops_get_func(ops: ftrace_ops): Kaddr {
		const { RECURSION, RCU } = FTRACE_OPS_FL;
		return ops.flags & (RECURSION | RCU) ? this.#templates.ftrace_ops_assist_func : ops.func;
	}

	/**
	 * Creates the trampoline of an ops that has none, or updates the call in a trampoline that the ops kept from an
	 * earlier registration. If there is no memory for a trampoline, the sites of the ops call ftrace_caller.
	 */
	*arch_ftrace_update_trampoline(ops: ftrace_ops): Kernel<void> {
		if (ops.trampoline === 0) this.#create_trampoline(ops);
		else if (ops.flags & FTRACE_OPS_FL.ALLOC_TRAMP) {
			const t = this.#templates;
			const regs = (ops.flags & FTRACE_OPS_FL.SAVE_REGS) !== 0;
			const offset = regs ? t.ftrace_regs_call - t.ftrace_regs_caller : t.ftrace_call - t.ftrace_caller;
			const site = (ops.trampoline + offset) | 0;
			const insn = ftrace_call_replace(site, this.ftrace_ops_get_func(ops));
			if (!sameBytes(this.#memory.read(site, insn.length), insn)) yield* this.#text_poke.text_poke_bp(site, insn);
		}
	}

	#create_trampoline(ops: ftrace_ops): void {
		const t = this.#templates;
		const regs = (ops.flags & FTRACE_OPS_FL.SAVE_REGS) !== 0;
		const start = regs ? t.ftrace_regs_caller : t.ftrace_caller;
		const end = regs ? t.ftrace_regs_caller_end : t.ftrace_caller_end;
		const opPtr = (regs ? t.ftrace_regs_caller_op_ptr : t.ftrace_caller_op_ptr) - start;
		const call = (regs ? t.ftrace_regs_call : t.ftrace_call) - start;
		const size = end - start;
		const total = size + RET_SIZE + 8;

		const code = new Uint8Array(total);
		code.set(this.#memory.read(start, size));
		code.set([RET_INSN_OPCODE, INT3_INSN_OPCODE], size);
		const name = `ftrace_trampoline:${ops.name}`;
		if (this.#faults.should_fail(`alloc_tramp(${name})`)) return;
		const address = this.#areas.allocTrampoline(name, total);
		const view = new DataView(code.buffer);
		if (OP_REF.some((byte, index) => code[opPtr + index] !== byte)) {
			throw new Error("create_trampoline: the template does not load its ops where it says");
		}
		// The slot behind the code is used instead of function_trace_op.
		view.setInt32(opPtr + OP_REF.length, size + RET_SIZE - (opPtr + OP_REF_SIZE), true);
		view.setBigInt64(size + RET_SIZE, BigInt(ops.address), true);
		code.set(ftrace_call_replace((address + call) | 0, this.ftrace_ops_get_func(ops)), call);
		if (regs) {
			// No call-back sets orig_rax on an ops' own trampoline: the jnz to the direct call becomes a two byte nop.
			const jmp = t.ftrace_regs_caller_jmp - start;
			if (code[jmp] !== 0x75) throw new Error("create_trampoline: no short jnz at ftrace_regs_caller_jmp");
			code.set([0x66, 0x90], jmp);
		}
		this.#memory.write(address, code);
		ops.flags |= FTRACE_OPS_FL.ALLOC_TRAMP;
		ops.trampoline = address;
		ops.trampoline_size = total;
		this.live.set(address, { ops, address, size: total, template: start });
	}

	arch_ftrace_trampoline_free(ops: ftrace_ops): void {
		if (!(ops.flags & FTRACE_OPS_FL.ALLOC_TRAMP)) return;
		this.live.delete(ops.trampoline);
		this.#areas.freeTrampoline(ops.trampoline);
		ops.trampoline = 0;
		ops.trampoline_size = 0;
		ops.flags &= ~FTRACE_OPS_FL.ALLOC_TRAMP;
	}

	/**
	 * `ip` is in a trampoline, or in ftrace_caller or ftrace_regs_caller, behind the call of the call-back: while the stack pointer is
	 * that of the call, it points to the pt_regs that the call-back has been given.
	 */
	isBehindCall(ip: Kaddr): boolean {
		const t = this.#templates;
		const trampoline = this.containing(ip);
		const at = trampoline === undefined ? ip : (trampoline.template + (ip - trampoline.address)) | 0;
		return (
			(at > t.ftrace_call && at < t.ftrace_caller_end) || (at > t.ftrace_regs_call && at < t.ftrace_regs_caller_end)
		);
	}

	/** The trampoline that holds `ip`, if any. */
	containing(ip: Kaddr): Trampoline | undefined {
		const trampoline = this.live.get(ip & ~0xfff);
		return trampoline !== undefined && ip - trampoline.address < trampoline.size ? trampoline : undefined;
	}
}
