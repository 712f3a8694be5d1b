import { KlpemuError } from "../../base/index.js";
import { ARGUMENT_REGISTERS, type Cpu, GS_BASE, RAX, RFLAGS_RESET, RSP, STATE_WORDS } from "../../cpu/index.js";
import { type Kaddr, type Memory, PAGE_SIZE, PERM, toU64 } from "../../memory/index.js";
import type { CallLabels, HeapCheck } from "../guest/index.js";

/** A look takes some hundred instructions; a loop that does not end is an error of the core. */
const BUDGET = 100_000;
const STACK = 16384;
const UD2_SIZE = 2n;

interface Parts {
	readonly cpu: Cpu;
	readonly labels: CallLabels;
	readonly heapCheck: HeapCheck;
	/** The area of a CPU that does not exist, a stack, and a page for results: {@link Scratch.size} bytes from here. */
	readonly base: Kaddr;
}

/**
 * Runs functions of the core for an observer: by no task, on a CPU and a stack of their own, in no time. The caller chooses functions that
 * change nothing else. Locks are not taken, and a WARN() is passed over.
 */
export class Scratch {
	/** Bytes from `base` on that a scratch uses. */
	static readonly size: number = 2 * PAGE_SIZE + STACK;

	readonly #cpu: Cpu;
	readonly #memory: Memory;
	readonly #labels: CallLabels;
	readonly #heapCheck: HeapCheck;
	/** The per-CPU area. */
	readonly area: Kaddr;
	/** A page for arguments and results. */
	readonly page: Kaddr;
	readonly #stackTop: Kaddr;

	constructor({ cpu, labels, heapCheck, base }: Parts) {
		this.#cpu = cpu;
		this.#memory = cpu.memory;
		this.#labels = labels;
		this.#heapCheck = heapCheck;
		this.area = base;
		this.page = (base + PAGE_SIZE) | 0;
		this.#stackTop = (base + Scratch.size - 64) | 0;
		cpu.memory.map("klp scratch", base, Scratch.size, PERM.READ | PERM.WRITE);
	}

	/** rax of `func(args)`; undefined if it faults. Throws `CORE_SCRATCH` if it does not end, or waits. */
	call(func: Kaddr, ...args: readonly bigint[]): bigint | undefined {
		const cpu = this.#cpu;
		const saved = cpu.state.words.slice();
		const { onInstruction } = cpu;
		// It is not the guest that runs.
		if (onInstruction !== undefined) cpu.onInstruction = undefined;
		try {
			this.#enter(func, args);
			return this.#run();
		} finally {
			if (onInstruction !== undefined) cpu.onInstruction = onInstruction;
			cpu.state.words.set(saved);
		}
	}

	#enter(func: Kaddr, args: readonly bigint[]): void {
		const { state } = this.#cpu;
		const words = new BigUint64Array(STATE_WORDS);
		words[GS_BASE] = toU64(this.area);
		state.words.set(words);
		state.rflags = RFLAGS_RESET;
		const sp = (this.#stackTop - 8) | 0;
		this.#memory.setU64(sp, toU64((this.#labels.host_bottom + 1) | 0));
		state.setKaddr(RSP, sp);
		state.setKaddr(RAX, func);
		for (const [index, value] of args.entries()) state.words[ARGUMENT_REGISTERS[index]!] = BigInt.asUintN(64, value);
		state.rip = toU64(this.#labels.call_from_host);
	}

	#run(): bigint | undefined {
		const { state } = this.#cpu;
		for (let left = BUDGET; left > 0; ) {
			const stop = this.#heapCheck.run(left);
			left -= stop.executed;
			if (stop.kind === "gate") {
				if (stop.gate.name === "return_to_host") return state.words[RAX]!;
				if (stop.gate.name.endsWith("mutex_lock")) continue;
				throw new KlpemuError("CORE_SCRATCH", `a look at the core's state calls ${stop.gate.name}(), which may wait`);
			}
			if (stop.kind !== "fault") continue;
			if (stop.fault.kind !== "invalid-opcode") return undefined;
			state.rip += UD2_SIZE;
		}
		throw new KlpemuError("CORE_SCRATCH", `a look at the core's state takes more than ${BUDGET} instructions`);
	}
}
