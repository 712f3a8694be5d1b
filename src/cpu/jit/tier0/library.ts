import type { OpcodeRow } from "../../x86/index.js";
import { flagsFunction, flagsOfFunction, umulhFunction } from "../semantics/index.js";
import { ENTRY, FLAGS_OF, FUEL, IMPORTS, type RegionInstruction, RUN_TYPE } from "../tier1/index.js";
import { buildModule, Code, type ModuleFunction, type Signature } from "../wasm/index.js";
import { commonInstructions, oftenInstructions } from "./common.js";
import { type Form, FormTranslator, formKey, formOf } from "./form.js";
import { RECORD } from "./record.js";

const RUN: Signature = { params: ["i32", "i32"], results: ["i32"] };
/** With more batches than this, a new Cpu gets one that has all forms. */
const MAX_BATCHES = 4;

/** A module that puts the forms with these numbers into the table. */
export interface Batch {
	readonly first: number;
	readonly count: number;
	readonly module: WebAssembly.Module;
}

/**
 * The forms of instructions, compiled once for all Cpus that share the library: there are some hundreds, however many
 * programs run. A form is compiled when an instruction of it is first met.
 */
export class FormLibrary {
	readonly #rows = new Map<OpcodeRow | "site" | "gate" | "state gate" | "exit", Map<number, number>>();
	readonly #forms: Form[] = [];
	#batches: Batch[] = [];
	/** The functions that each batch has before the forms. */
	#common: readonly ModuleFunction[] | undefined;

	/** How many forms have been met. */
	get size(): number {
		return this.#forms.length;
	}

	/** The number of an instruction's form. */
	number(entry: RegionInstruction): number {
		if (entry.kind === "plain") return this.#number(entry.instruction.row, formKey(entry.instruction), entry);
		if (entry.kind === "site") return this.#number("site", 0, entry);
		return this.#number(entry.gate.passes === "state" ? "state gate" : "gate", 0, entry);
	}

	get exit(): number {
		return this.#number("exit", 0, "exit");
	}

	#number(
		row: OpcodeRow | "site" | "gate" | "state gate" | "exit",
		key: number,
		of: RegionInstruction | "exit",
	): number {
		let keys = this.#rows.get(row);
		if (keys === undefined) {
			keys = new Map();
			this.#rows.set(row, keys);
		}
		let number = keys.get(key);
		if (number === undefined) {
			number = this.#forms.push(of === "exit" ? of : formOf(of)) - 1;
			keys.set(key, number);
		}
		return number;
	}

	/** Modules with all forms that have numbers, in order. `anew`: for a Cpu that has none of them yet. */
	batches(anew: boolean): readonly Batch[] {
		const last = this.#batches.at(-1);
		const compiled = last === undefined ? 0 : last.first + last.count;
		if (anew && this.#batches.length > MAX_BATCHES) this.#batches = [this.#compile(0)];
		else if (compiled < this.#forms.length) this.#batches.push(this.#compile(compiled));
		return this.#batches;
	}

	#compile(first: number): Batch {
		// One module with them takes less time than one for each when it is met.
		if (first === 0) for (const entry of commonInstructions()) this.number(entry);
		else if (this.#batches.length === 1) for (const entry of oftenInstructions()) this.number(entry);
		const forms = this.#forms
			.slice(first)
			.map((form): ModuleFunction => ({ signature: RUN, code: FormTranslator.translate(form) }));
		this.#common ??= [flagsOfFunction(), flagsFunction(FLAGS_OF), umulhFunction(), enterFunction()];
		const fill = { at: first, first: this.#common.length, count: forms.length };
		const module = new WebAssembly.Module(buildModule(undefined, IMPORTS, [...this.#common, ...forms], fill));
		return { first, count: forms.length, module };
	}
}

/** Runs a record by its form. */
function enterFunction(): ModuleFunction {
	const code = new Code(2);
	code.get(ENTRY).get(FUEL).get(ENTRY).memory("i32.load", RECORD.form).tailCallIndirect(RUN_TYPE, 1);
	return { signature: RUN, code, exportAs: "enter" };
}
