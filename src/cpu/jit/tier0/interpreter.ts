import { type Kaddr, kaddrOf } from "../../../memory/index.js";
import { AREA, RECORD_BYTES, RECORDS } from "../area.js";
import { after, ENDS, instructionAt, type RegionInstruction, type Text } from "../tier1/index.js";
import type { FormLibrary } from "./library.js";
import { RecordWriter } from "./record.js";

/** Runs from a record, or the entry of a translation, with fuel; returns the fuel that is left. */
type Run = (entry: number, fuel: number) => number;

/** Of a block: most are shorter. */
const MAX_INSTRUCTIONS = 64;
/** The first records are for single instructions that the host wants run. */
const SINGLE = 2;
const NEVER_WARM = 0x7fffffff;

/** The instructions that follow each other from an address on, up to one that `known` holds. */
export function straight(
	text: Text,
	start: bigint,
	known: (address: bigint, low: Kaddr | undefined) => boolean,
): RegionInstruction[] {
	const entries: RegionInstruction[] = [];
	let low = kaddrOf(start);
	const single = text.isBreakpoint(start);
	for (let address = start; entries.length < MAX_INSTRUCTIONS; ) {
		if (address !== start && (known(address, low) || text.isBreakpoint(address) || text.isHot(address))) break;
		const entry = instructionAt(text, address, low);
		if (entry === undefined) break;
		entries.push(entry);
		if (single || endsBlock(entry)) break;
		const next = low === undefined ? 0 : low + entry.length;
		if (next < 0) {
			address += BigInt(entry.length);
			low = next;
		} else {
			// Out of the window, or never in it.
			address = after(entry);
			low = kaddrOf(address);
		}
	}
	return entries;
}

function endsBlock(entry: RegionInstruction): boolean {
	return entry.kind === "plain" && ENDS.has(entry.instruction.row.semantic);
}

/** Runs code that is not translated: decoded instructions as records in the Cpu's area, each run by its form. */
export class Interpreter {
	readonly #library: FormLibrary;
	readonly #imports: Record<string, WebAssembly.ImportValue>;
	readonly #records: RecordWriter;
	readonly #cold: number;
	/** The forms with lower numbers are in the table. */
	#forms = 0;
	#enter: Run | undefined;
	#used = SINGLE;

	/** `cold`: how often an instruction runs here until it is warm. */
	constructor(
		buffer: ArrayBuffer,
		library: FormLibrary,
		imports: Record<string, WebAssembly.ImportValue>,
		cold: number,
	) {
		this.#library = library;
		this.#imports = imports;
		this.#records = new RecordWriter(buffer);
		this.#cold = Math.min(cold, NEVER_WARM);
		this.forgetForms();
	}

	/** Starts at a record. */
	get run(): Run {
		if (this.#enter === undefined) this.#instantiate(this.#library.exit);
		return this.#enter!;
	}

	/** Instances that were made are not used any more: the imports have changed. */
	forgetForms(): void {
		this.#imports.f = new WebAssembly.Table({ initial: 1, element: "anyfunc" });
		this.#forms = 0;
		this.#enter = undefined;
	}

	/** Writes the instructions, which follow each other; the first record, or undefined if there is no room any more. */
	block(entries: readonly RegionInstruction[]): number | undefined {
		if (this.#used + entries.length + 1 > RECORDS) return undefined;
		const first = AREA.records + this.#used * RECORD_BYTES;
		this.#used += this.#write(first, entries, this.#cold);
		return first;
	}

	/** Writes an instruction that is run once. */
	single(entry: RegionInstruction): number {
		this.#write(AREA.records, [entry], NEVER_WARM);
		return AREA.records;
	}

	/** From now on all records are free. */
	reset(): void {
		this.#used = SINGLE;
	}

	/** Whether the record has run so often that it is to be translated. */
	isWarm(record: number): boolean {
		if (this.#records.count(record) > 0) return false;
		if (this.#cold !== NEVER_WARM) return true;
		this.#records.setCount(record, NEVER_WARM);
		return false;
	}

	/** Returns how many records were written. */
	#write(first: number, entries: readonly RegionInstruction[], count: number): number {
		let highest = this.#library.exit;
		let record = first;
		for (const entry of entries) {
			const form = this.#library.number(entry);
			highest = Math.max(highest, form);
			this.#records.write(record, form, count, entry);
			record += RECORD_BYTES;
		}
		const last = entries.at(-1)!;
		const exits = !endsBlock(last);
		if (exits) this.#records.writeExit(record, this.#library.exit, after(last));
		this.#instantiate(highest);
		return entries.length + (exits ? 1 : 0);
	}

	/** Puts the form with this number into the table, and all that were numbered before it. */
	#instantiate(form: number): void {
		if (form < this.#forms) return;
		const table = this.#imports.f as WebAssembly.Table;
		for (const { first, count, module } of this.#library.batches(this.#forms === 0)) {
			if (first + count <= this.#forms) continue;
			this.#forms = first + count;
			if (table.length < this.#forms) table.grow(this.#forms - table.length);
			const { exports } = new WebAssembly.Instance(module, { h: this.#imports });
			this.#enter ??= exports.enter as Run;
		}
	}
}
