import type { DwarfReader } from "./dwarf.js";

/** The return address's column (psABI figure 3.36). */
export const RETURN_ADDRESS = 16;

/**
 * Where a register was saved: at CFA + number; nowhere ("undefined"); or in a place that an expression or a register
 * gives.
 */
export type CfaRule = number | "undefined" | "unwalkable";

export interface CfaState {
	/** DWARF register number; undefined if the CFA needs an expression. */
	cfaRegister: number | undefined;
	cfaOffset: number;
	rules: Map<number, CfaRule>;
}

const copy = (state: CfaState): CfaState => ({ ...state, rules: new Map(state.rules) });

/** Limits, so that a damaged program cannot fill memory. */
const MAX_REMEMBERED = 64;
/** Of rules, of which each row has its own: those of registers behind these are dropped, for the kernel has no vectors. */
const MAX_REGISTER = RETURN_ADDRESS;

/** Runs call frame instructions (DWARF 5, section 6.4.2) and collects the rows of the table they describe. */
export class CfaProgram {
	readonly rows: { offset: number; state: CfaState }[] = [];
	readonly #codeAlign: number;
	readonly #dataAlign: number;
	#state: CfaState = { cfaRegister: undefined, cfaOffset: 0, rules: new Map() };
	#initial: CfaState = copy(this.#state);
	readonly #remembered: CfaState[] = [];
	#offset = 0;

	constructor(codeAlign: number, dataAlign: number) {
		this.#codeAlign = codeAlign;
		this.#dataAlign = dataAlign;
	}

	/** Called after the CIE's instructions: DW_CFA_restore goes back to this state. */
	endOfInitial(): void {
		this.#initial = copy(this.#state);
	}

	run(reader: DwarfReader, functionSize: number): void {
		while (reader.at < reader.end) {
			const byte = reader.u8();
			const operand = byte & 0x3f;
			switch (byte >> 6) {
				case 1:
					this.#advance(operand);
					break;
				case 2:
					this.#rule(operand, reader.uleb() * this.#dataAlign);
					break;
				case 3:
					this.#restore(operand);
					break;
				default:
					this.#extended(byte, reader);
			}
			if (this.#offset > functionSize) reader.fail("call frame instructions run past the function's end");
		}
		this.#record();
	}

	#advance(delta: number): void {
		if (delta === 0) return;
		this.#record();
		this.#offset += delta * this.#codeAlign;
	}

	#record(): void {
		const last = this.rows.at(-1);
		const row = { offset: this.#offset, state: copy(this.#state) };
		if (last?.offset === this.#offset) this.rows[this.rows.length - 1] = row;
		else this.rows.push(row);
	}

	#rule(register: number, rule: CfaRule): void {
		if (register <= MAX_REGISTER) this.#state.rules.set(register, rule);
	}

	#restore(register: number): void {
		const rule = this.#initial.rules.get(register);
		if (rule === undefined) this.#state.rules.delete(register);
		else this.#rule(register, rule);
	}

	/** Instructions whose high two bits are zero. */
	#extended(code: number, reader: DwarfReader): void {
		const state = this.#state;
		switch (code) {
			case 0x00: // DW_CFA_nop
				return;
			case 0x02: // DW_CFA_advance_loc1
				this.#advance(reader.u8());
				return;
			case 0x03: // DW_CFA_advance_loc2
				this.#advance(reader.u16());
				return;
			case 0x04: // DW_CFA_advance_loc4
				this.#advance(reader.u32());
				return;
			case 0x0a: // DW_CFA_remember_state
				if (this.#remembered.length >= MAX_REMEMBERED) reader.fail("too many remembered states");
				this.#remembered.push(copy(state));
				return;
			case 0x0b: // DW_CFA_restore_state
				this.#state = this.#remembered.pop() ?? reader.fail("DW_CFA_restore_state without a remembered state");
				return;
			case 0x0c: // DW_CFA_def_cfa
				state.cfaRegister = reader.uleb();
				state.cfaOffset = reader.uleb();
				return;
			case 0x0d: // DW_CFA_def_cfa_register
				state.cfaRegister = reader.uleb();
				return;
			case 0x0e: // DW_CFA_def_cfa_offset
				state.cfaOffset = reader.uleb();
				return;
			case 0x0f: // DW_CFA_def_cfa_expression
				reader.skip(reader.uleb());
				state.cfaRegister = undefined;
				return;
			case 0x12: // DW_CFA_def_cfa_sf
				state.cfaRegister = reader.uleb();
				state.cfaOffset = reader.sleb() * this.#dataAlign;
				return;
			case 0x13: // DW_CFA_def_cfa_offset_sf
				state.cfaOffset = reader.sleb() * this.#dataAlign;
				return;
			case 0x2e: // DW_CFA_GNU_args_size
				reader.uleb();
				return;
			default:
				this.#registerRule(code, reader);
		}
	}

	/** Instructions that say where one register is. */
	#registerRule(code: number, reader: DwarfReader): void {
		const register = reader.uleb();
		switch (code) {
			case 0x05: // DW_CFA_offset_extended
				this.#rule(register, reader.uleb() * this.#dataAlign);
				return;
			case 0x06: // DW_CFA_restore_extended
				this.#restore(register);
				return;
			case 0x07: // DW_CFA_undefined
				this.#rule(register, "undefined");
				return;
			case 0x08: // DW_CFA_same_value
				this.#state.rules.delete(register);
				return;
			case 0x09: // DW_CFA_register
			case 0x14: // DW_CFA_val_offset
				reader.uleb();
				this.#rule(register, "unwalkable");
				return;
			case 0x10: // DW_CFA_expression
			case 0x16: // DW_CFA_val_expression
				reader.skip(reader.uleb());
				this.#rule(register, "unwalkable");
				return;
			case 0x11: // DW_CFA_offset_extended_sf
				this.#rule(register, reader.sleb() * this.#dataAlign);
				return;
			case 0x15: // DW_CFA_val_offset_sf
				reader.sleb();
				this.#rule(register, "unwalkable");
				return;
			default:
				reader.fail(`call frame instruction 0x${code.toString(16)} is not known`);
		}
	}
}
