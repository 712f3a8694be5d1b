import { GS_BASE, RSP, STATE_WORDS } from "../../cpu.js";
import type { Instruction, MemoryOperand } from "../../x86/index.js";
import { AREA, NEED } from "../area.js";
import { inStackSegment } from "../semantics/index.js";
import { after, type RegionInstruction } from "../tier1/index.js";

/**
 * A decoded instruction as its form finds it: byte offsets in a record. Registers are byte offsets from AREA.words; an
 * operand that has no such register has the one of AREA.zero.
 */
export const RECORD = {
	/** Number of the form. */
	form: 0,
	/** How often the instruction may still run before it is warm. */
	count: 4,
	/** A register operand, by the number of the operand. */
	registers: 8,
	base: 20,
	index: 24,
	/** Binary logarithm of the scale. */
	scale: 28,
	segment: 32,
	/** NEED.stack, if the memory operand is in the stack segment. */
	stack: 36,
	/** 64 bits. */
	displacement: 40,
	/** 64 bits: the immediate operand, the target of a relative branch, the place of a call site's cell, or a gate's number. */
	constant: 48,
	/** 64 bits each: the instruction, and the one behind it. */
	here: 56,
	next: 64,
} as const;

const NONE = 8 * STATE_WORDS;

/** Writes records. */
export class RecordWriter {
	readonly #words: Int32Array;
	readonly #longs: BigInt64Array;

	constructor(buffer: ArrayBuffer) {
		this.#words = new Int32Array(buffer);
		this.#longs = new BigInt64Array(buffer);
	}

	count(record: number): number {
		return this.#words[(record + RECORD.count) >> 2]!;
	}

	setCount(record: number, count: number): void {
		this.#words[(record + RECORD.count) >> 2] = count;
	}

	write(record: number, form: number, count: number, entry: RegionInstruction): void {
		this.#begin(record, form, count);
		const { low } = entry;
		if (low === undefined) {
			this.#long(record + RECORD.here, entry.address);
			this.#long(record + RECORD.next, after(entry));
		} else {
			this.#small(record + RECORD.here, low);
			this.#small(record + RECORD.next, low + entry.length);
		}
		if (entry.kind === "site") this.#small(record + RECORD.constant, AREA.sites + 4 * entry.cell);
		else if (entry.kind === "gate") this.#small(record + RECORD.constant, entry.index);
		else this.#operands(record, entry.instruction);
	}

	/** A record that goes on at an address. */
	writeExit(record: number, form: number, address: bigint): void {
		this.#begin(record, form, 0);
		this.#long(record + RECORD.here, address);
		this.#long(record + RECORD.next, address);
	}

	#begin(record: number, form: number, count: number): void {
		this.#words[(record + RECORD.form) >> 2] = form;
		this.#words[(record + RECORD.count) >> 2] = count;
	}

	/** 64 bits from a number of 32 with its sign, which needs no BigInt. */
	#small(at: number, value: number): void {
		this.#words[at >> 2] = value;
		this.#words[(at >> 2) + 1] = value < 0 ? -1 : 0;
	}

	#long(at: number, value: bigint): void {
		this.#longs[at >> 3] = value;
	}

	#operands(record: number, instruction: Instruction): void {
		const { operands } = instruction;
		for (let n = 0; n < operands.length; n++) {
			const operand = operands[n]!;
			if (operand.kind === "reg") {
				this.#words[(record + RECORD.registers + 4 * n) >> 2] = 8 * operand.reg + (operand.high ? 1 : 0);
			} else if (operand.kind === "mem") this.#memory(record, operand, instruction);
			else if (operand.kind === "rel") this.#long(record + RECORD.constant, operand.target);
			// The form of enter has its second constant.
			else if (n !== 1 || instruction.row.semantic !== "enter") this.#long(record + RECORD.constant, operand.value);
		}
	}

	#memory(record: number, operand: MemoryOperand, { row, size }: Instruction): void {
		const words = this.#words;
		const { base, index, scale, gs, disp } = operand;
		words[(record + RECORD.base) >> 2] = base < 0 ? NONE : 8 * base;
		words[(record + RECORD.index) >> 2] = index < 0 ? NONE : 8 * index;
		words[(record + RECORD.scale) >> 2] = scale === 8 ? 3 : scale >> 1;
		words[(record + RECORD.segment) >> 2] = gs && row.semantic !== "lea" ? 8 * GS_BASE : NONE;
		words[(record + RECORD.stack) >> 2] = inStackSegment(operand) ? NEED.stack : 0;
		// The address of pop's operand counts from rsp after the pop.
		const pops = base === RSP && row.semantic === "pop";
		this.#longs[(record + RECORD.displacement) >> 3] = pops ? disp + BigInt(size / 8) : disp;
	}
}
if (AREA.zero !== AREA.words + NONE) throw new Error("the jit area has no zero behind the registers");
