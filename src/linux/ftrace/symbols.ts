import type { Assembled } from "../../assemble/index.js";
import { GATE_SIZE, type GatePage, RSP } from "../../cpu/index.js";
import type { SourceLine, UnwindRow } from "../../elf/index.js";
import { hex, type Kaddr } from "../../memory/index.js";
import type { Kallsyms } from "../lib/index.js";
import type { Trampolines } from "./trampoline.js";

/** All guest code, of every origin. */
export interface GuestCode {
	/** Functions that modules can link against. */
	readonly gates: GatePage;
	/** Gates that only the engine's assembly may name. */
	readonly hidden: ReadonlySet<string>;
	/** asm/ftrace_64.S: trampolines are copies of it, and modules link against its labels. */
	readonly ftrace: Assembled;
	/** The other assembly of the engine. */
	readonly assembly: readonly Assembled[];
	readonly kallsyms: Kallsyms;
	readonly trampolines: Trampolines;
}

/** Symbols of all guest code: names in kallsyms, names for reports, and unwind rows. */
export class Symbols {
	readonly #code: GuestCode;
	/** All gate pages. */
	readonly #pages: GatePage[];

	constructor(code: GuestCode) {
		this.#code = code;
		this.#pages = [code.gates];
	}

	/** Gates that modules cannot link against. */
	addGates(page: GatePage): void {
		this.#pages.push(page);
	}

	/** Name of the gate at an address. */
	gateAt(address: Kaddr): string | undefined {
		for (const page of this.#pages) {
			const name = page.nameAt(address);
			if (name !== undefined) return name;
		}
		return undefined;
	}

	#assembly(address: Kaddr): Assembled | undefined {
		const { ftrace, assembly } = this.#code;
		const holds = ({ base, bytes }: Assembled) => address >= base && address < base + bytes.length;
		return holds(ftrace) ? ftrace : assembly.find(holds);
	}

	/**
	 * Symbols that modules can link against: those of vmlinux, gates, the labels of the assembly, and those of loaded
	 * modules. A .ko gives only those that it exports.
	 */
	resolve(name: string): Kaddr | undefined {
		const { gates, hidden, ftrace } = this.#code;
		const gate = hidden.has(name) ? undefined : gates.find(name);
		const [vmlinux, ...modules] = this.#code.kallsyms.images.map((image) =>
			image.exports === undefined ? image.symbol(name)?.address : image.exports.get(name)?.address,
		);
		return vmlinux ?? gate ?? ftrace.symbols.get(name) ?? modules.find((address) => address !== undefined);
	}

	/** All names that {@link resolve} knows, for "did you mean". */
	*names(): Generator<string, void, void> {
		const { gates, hidden, ftrace, kallsyms } = this.#code;
		for (const { symbols, exports } of kallsyms.images) yield* exports?.keys() ?? symbols.map(({ name }) => name);
		for (const name of gates.names()) if (!hidden.has(name)) yield name;
		yield* ftrace.symbols.keys();
	}

	/** `funcA+0x4/0x20` as %pS prints it, or `funcA` as %ps does; the bare address if it is not in a function. */
	sprint_symbol(address: Kaddr, bare: boolean): string {
		for (const image of this.#code.kallsyms.images) {
			const hit = image.symbolAt(address);
			if (hit === undefined) continue;
			const { name } = hit.symbol;
			const owner = image.name === "vmlinux" ? "" : ` [${image.name}]`;
			return bare ? name : `${name}+0x${hit.offset.toString(16)}/0x${hit.size.toString(16)}${owner}`;
		}
		const gate = this.gateAt(address);
		if (gate !== undefined) return bare ? gate : `${gate}+0x0/0x${GATE_SIZE.toString(16)}`;
		const label = this.#labelAt(address);
		if (label === undefined) return hex(address);
		return bare ? label.name : `${label.name}+0x${label.offset.toString(16)}/0x${label.size.toString(16)}`;
	}

	/** The label of the assembly at or before an address. It ends at the next label, as in kallsyms. */
	#labelAt(address: Kaddr): { readonly name: string; readonly offset: number; readonly size: number } | undefined {
		const code = this.#assembly(address);
		if (code === undefined) return undefined;
		const labels = [...code.symbols].filter(([name]) => !name.startsWith(".L")).sort(([, a], [, b]) => a - b);
		const [name, at] = labels.findLast(([, start]) => start <= address) ?? [];
		if (name === undefined || at === undefined) return undefined;
		const [, next = (code.base + code.bytes.length) | 0] = labels.find(([, start]) => start > at) ?? [];
		return { name, offset: address - at, size: next - at };
	}

	/** `funcA`, or `lp1_funcA [lp1]`: the function alone, as ftrace shows it. */
	name(address: Kaddr): string {
		const image = this.#code.kallsyms.images.find((candidate) => candidate.symbolAt(address) !== undefined);
		if (image === undefined) return this.symbolize(address).replace(/\+0x[0-9a-f]+$/, "");
		const { name } = image.symbolAt(address)!.symbol;
		return image.name === "vmlinux" ? name : `${name} [${image.name}]`;
	}

	/** The function that an instruction is in, and its line of the source if one is known; undefined: it is in no image. */
	sourceAt(address: Kaddr): { readonly func: string; readonly line: SourceLine | undefined } | undefined {
		for (const image of this.#code.kallsyms.images) {
			const hit = image.symbolAt(address);
			if (hit !== undefined) return { func: hit.symbol.name, line: image.lineAt(address) };
		}
		return undefined;
	}

	/** `funcA+0x4`, `ftrace_trampoline[funcA]+0x2c`, the name of a gate, or the bare address. */
	symbolize(address: Kaddr): string {
		const plus = (name: string, offset: number) => `${name}+0x${offset.toString(16)}`;
		for (const image of this.#code.kallsyms.images) {
			const hit = image.symbolAt(address);
			if (hit !== undefined) return plus(hit.symbol.name, hit.offset);
		}
		const trampoline = this.#code.trampolines.containing(address);
		if (trampoline !== undefined) {
			return plus(`ftrace_trampoline[${trampoline.ops.name}]`, address - trampoline.address);
		}
		const gate = this.gateAt(address);
		if (gate !== undefined) return gate;
		const label = this.#labelAt(address);
		return label === undefined ? hex(address) : plus(label.name, label.offset);
	}

	/** The unwind row for an instruction anywhere in the guest. */
	findRow(ip: Kaddr): UnwindRow | undefined {
		const assembly = this.#assembly(ip);
		if (assembly !== undefined) return assembly.hints.row(ip - assembly.base);
		if (this.gateAt(ip) !== undefined) {
			return { cfaRegister: RSP, cfaOffset: 8, raOffset: -8, saved: [], signal: false };
		}
		// A trampoline is a copy: the row of the template at the same offset is valid for it.
		const trampoline = this.#code.trampolines.containing(ip);
		if (trampoline !== undefined) {
			return this.findRow((trampoline.template + (ip - trampoline.address)) | 0);
		}
		return this.#code.kallsyms.images.find((image) => image.contains(ip))?.findRow(ip);
	}
}
