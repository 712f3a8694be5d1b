import type { ImmediateOperand, Instruction, MemoryOperand, Operand } from "../../x86/index.js";
import { AREA, RECORD_BYTES } from "../area.js";
import { enterLevel } from "../semantics/index.js";
import { ENTRY, FUEL, type RegionInstruction, RUN_TYPE, type Spot, StepTranslator } from "../tier1/index.js";
import { Code } from "../wasm/index.js";
import { RECORD } from "./record.js";

/** Register numbers from here on are operands of the record; as a base: the record's memory operand. */
const OF_RECORD = 16;
/** The table of forms, by number. */
const FORMS_TABLE = 1;

/** The properties that an instruction shares with all instructions that the same code can run: a {@link RegionInstruction} without values. */
export type Form = RegionInstruction | "exit";

/** Strings and xlat address memory without an operand for it. */
function hasImplicitMemory({ row }: Instruction): boolean {
	return row.string || row.semantic === "xlat";
}

/** The same number for the same form, among the instructions of a row of the opcode table. */
export function formKey(instruction: Instruction): number {
	const { row, size, operands, repeat } = instruction;
	let memory = 0;
	for (let n = 0; n < operands.length; n++) if (operands[n]!.kind === "mem") memory = 1;
	const gs = instruction.gs && hasImplicitMemory(instruction) ? 1 : 0;
	const level = row.semantic === "enter" ? enterLevel(instruction) : 0;
	const flags = memory | (instruction.address32 ? 2 : 0) | (gs << 2);
	return size | (flags << 8) | ((repeat === "none" ? 0 : repeat === "rep" ? 1 : 2) << 11) | (level << 13);
}

function withoutValues(operand: Operand, n: number): Operand {
	switch (operand.kind) {
		case "reg":
			return { kind: "reg", reg: OF_RECORD + n, high: false, size: operand.size };
		case "mem":
			return { ...operand, base: OF_RECORD, index: -1, scale: 1, disp: 0n, ripRelative: false, gs: false };
		default:
			return operand;
	}
}

export function formOf(entry: RegionInstruction): Form {
	if (entry.kind !== "plain") return entry;
	const { instruction } = entry;
	const operands = instruction.operands.map(withoutValues);
	const gs = instruction.gs && hasImplicitMemory(instruction);
	return { ...entry, instruction: { ...instruction, operands, gs } };
}

/**
 * The first tier's translation of one instruction, with everything that is not of its form taken from a record at run
 * time: `run(record, fuel)`. It goes on with the record behind its own.
 */
export class FormTranslator extends StepTranslator {
	static translate(form: Form): Code {
		const code = new Code(2);
		const epoch = code.local("i32");
		const exit = code.block();
		const translator = new FormTranslator(code, new Map(), exit, exit, epoch);
		if (form === "exit") translator.goto("here");
		else {
			if (form.kind === "gate") code.i32(0).memory("i32.load", AREA.epoch).set(epoch);
			translator.#count();
			translator.emit(form);
			code.get(ENTRY).i32(RECORD_BYTES).op("i32.add").tee(ENTRY).get(FUEL);
			code.get(ENTRY).memory("i32.load", RECORD.form).tailCallIndirect(RUN_TYPE, FORMS_TABLE);
		}
		code.end();
		code.get(FUEL);
		return code;
	}

	/** An instruction that has become warm is left to the host. */
	#count(): void {
		const { code } = this;
		const left = this.temp("i32");
		code.get(ENTRY);
		code.get(ENTRY).memory("i32.load", RECORD.count).i32(1).op("i32.sub").tee(left);
		code.memory("i32.store", RECORD.count);
		code.get(left).i32(0).op("i32.le_s");
		code.if();
		this.leave("here");
		code.end();
	}

	protected override spot(spot: Spot): Code {
		const offset = { here: RECORD.here, next: RECORD.next, target: RECORD.constant }[spot];
		return this.code.get(ENTRY).memory("i64.load", offset);
	}

	override goto(spot: Spot): void {
		this.spot(spot);
		this.gotoDynamic(this.keep("i64"));
	}

	protected override siteCell(): Code {
		return this.code.get(ENTRY).memory("i32.load", RECORD.constant).memory("i32.load");
	}

	protected override gateIndex(): Code {
		return this.code.get(ENTRY).memory("i32.load", RECORD.constant);
	}

	protected override registerPlace(reg: number, high: boolean): number {
		if (reg < OF_RECORD) return super.registerPlace(reg, high);
		this.code.get(ENTRY).memory("i32.load", RECORD.registers + 4 * (reg - OF_RECORD));
		return AREA.words;
	}

	override immediate(operand: ImmediateOperand): number {
		const type = operand.size === 64 ? "i64" : "i32";
		this.code.get(ENTRY).memory(`${type}.load`, RECORD.constant);
		return this.keep(type);
	}

	protected override segmentNeed(of: MemoryOperand | undefined): Code {
		if (of?.base !== OF_RECORD) return super.segmentNeed(of);
		return this.code.get(ENTRY).memory("i32.load", RECORD.stack);
	}

	override address(operand: MemoryOperand, adjust?: number): number {
		if (operand.base !== OF_RECORD) return super.address(operand, adjust);
		const { code } = this;
		const register = (field: number): Code => code.get(ENTRY).memory("i32.load", field).memory("i64.load", AREA.words);
		code.get(ENTRY).memory("i64.load", RECORD.displacement);
		register(RECORD.base).op("i64.add");
		register(RECORD.index)
			.get(ENTRY)
			.memory("i32.load", RECORD.scale)
			.op("i64.extend_i32_u")
			.op("i64.shl")
			.op("i64.add");
		if (adjust !== undefined) code.get(adjust).op("i64.add");
		if (operand.address32) code.i64(0xffffffffn).op("i64.and");
		register(RECORD.segment).op("i64.add");
		return this.keep("i64");
	}
}
