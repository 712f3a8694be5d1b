import { OPCODES, type OpcodeRow } from "../../x86/index.js";
import { flagsFunction, flagsOfFunction, umulhFunction } from "../semantics/index.js";
import { ENTRY, FLAGS_OF, FUEL, IMPORTS, type RegionInstruction, RUN_TYPE } from "../tier1/index.js";
import { buildModule, Code, customSection, type ModuleFunction, type Signature } from "../wasm/index.js";
import { commonInstructions, oftenInstructions } from "./common.js";
import { type Form, FormTranslator, formKey, formOf } from "./form.js";
import { RECORD } from "./record.js";

const RUN: Signature = { params: ["i32", "i32"], results: ["i32"] };
/** With more batches than this, a new Cpu gets one that has all forms. */
const MAX_BATCHES = 4;

/** What a form is of, if it is of no row of the opcode table. */
const NO_ROW = ["site", "gate", "state gate", "exit"] as const;
type FormOf = OpcodeRow | (typeof NO_ROW)[number];
/** The section of a built module that says which forms it has: a pair of words for each, what it is of and its key. */
const SECTION = "forms";

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
	readonly #rows = new Map<FormOf, Map<number, number>>();
	/** Undefined: one that was built. */
	readonly #forms: (Form | undefined)[] = [];
	#batches: Batch[] = [];
	/** The functions that each batch has before the forms. */
	#common: readonly ModuleFunction[] | undefined;

	/** `built`: what {@link build} has made, by this version of klpemu. */
	constructor(built?: Uint8Array<ArrayBuffer>) {
		if (built === undefined) return;
		const module = new WebAssembly.Module(built);
		const names = new Int32Array(WebAssembly.Module.customSections(module, SECTION)[0]!);
		for (let at = 0; at < names.length; at += 2) {
			const of = names[at]!;
			this.#add(of < 0 ? NO_ROW[-1 - of]! : OPCODES[of]!, names[at + 1]!, undefined);
		}
		this.#batches.push({ first: 0, count: names.length / 2, module });
	}

	/** A module with the forms that nearly all programs need, and those of the kernel's livepatch code: it takes time to make them. */
	static build(): Uint8Array<ArrayBuffer> {
		const library = new FormLibrary();
		library.#expect([...commonInstructions(), ...oftenInstructions()]);
		const names = new Int32Array(2 * library.size);
		for (const [of, keys] of library.#rows) {
			for (const [key, number] of keys) {
				names.set([typeof of === "string" ? -1 - NO_ROW.indexOf(of) : OPCODES.indexOf(of), key], 2 * number);
			}
		}
		return customSection(library.#module(0), SECTION, new Uint8Array(names.buffer));
	}

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

	#number(row: FormOf, key: number, of: RegionInstruction | "exit"): number {
		return this.#rows.get(row)?.get(key) ?? this.#add(row, key, of === "exit" ? of : formOf(of));
	}

	#add(row: FormOf, key: number, form: Form | undefined): number {
		let keys = this.#rows.get(row);
		if (keys === undefined) {
			keys = new Map();
			this.#rows.set(row, keys);
		}
		const number = this.#forms.push(form) - 1;
		keys.set(key, number);
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
		if (first === 0) this.#expect(commonInstructions());
		if (first === 0 ? this.#batches.length > 0 : this.#batches.length === 1) this.#expect(oftenInstructions());
		const count = this.#forms.length - first;
		return { first, count, module: new WebAssembly.Module(this.#module(first)) };
	}

	/** These forms, and that of the end of a block, are to be in the next module. */
	#expect(entries: readonly RegionInstruction[]): void {
		for (const entry of entries) this.#forms[this.number(entry)] ??= formOf(entry);
		this.#forms[this.exit] ??= "exit";
	}

	/** The module with the forms from this number on, none of which was built. */
	#module(first: number): Uint8Array<ArrayBuffer> {
		const forms = this.#forms
			.slice(first)
			.map((form): ModuleFunction => ({ signature: RUN, code: FormTranslator.translate(form!) }));
		this.#common ??= [flagsOfFunction(), flagsFunction(FLAGS_OF), umulhFunction(), enterFunction()];
		const fill = { at: first, first: this.#common.length, count: forms.length };
		return buildModule(undefined, IMPORTS, [...this.#common, ...forms], fill);
	}
}

/** Runs a record by its form. */
function enterFunction(): ModuleFunction {
	const code = new Code(2);
	code.get(ENTRY).get(FUEL).get(ENTRY).memory("i32.load", RECORD.form).tailCallIndirect(RUN_TYPE, 1);
	return { signature: RUN, code, exportAs: "enter" };
}
