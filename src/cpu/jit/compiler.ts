import type { Gate } from "../cpu.js";
import type { CompiledModules } from "./modules.js";
import { helperModule, type RegionInstruction, type Text, translate } from "./tier1/index.js";
import { graphKey, type Node, translateHot } from "./tier2/index.js";
import type { Translation } from "./translations.js";

type Run = Translation["run"];

/**
 * Makes functions from guest instructions for one Cpu. The keys of the {@link CompiledModules} name all that a module
 * depends on: a dependency that is left out makes machines run each other's code.
 */
export class Compiler {
	readonly #modules: CompiledModules;
	/** Size of the memory that modules import, in WebAssembly pages. */
	readonly #memoryPages: number;
	readonly #imports: WebAssembly.Imports;
	readonly #text: Text;
	/** Number of modules that were compiled, and not found in the shared ones. */
	compiled = 0;
	/** Instances since the count was last set. */
	instances = 0;

	constructor(modules: CompiledModules, memoryPages: number, imports: WebAssembly.Imports, text: Text) {
		this.#modules = modules;
		this.#memoryPages = memoryPages;
		this.#imports = imports;
		this.#text = text;
	}

	/** The function that computes the status flags from the area; the other helper goes to the imports. */
	helpers(imports: Record<string, WebAssembly.ImportValue>): () => number {
		const pages = this.#memoryPages;
		const { flags, place } = this.#instance(`${pages}helpers`, () => helperModule(pages));
		imports.place = place!;
		return flags as () => number;
	}

	/** A region for the first tier. */
	region(instructions: readonly RegionInstruction[]): Run {
		const pages = this.#memoryPages;
		const parts = instructions.map((entry) => this.#describe(entry));
		const key = `${pages} ${parts.join("\n")}`;
		return this.#instance(key, () => translate(instructions, pages, (address) => this.#isApart(address))).run as Run;
	}

	/** A graph for the second tier. */
	hot(graph: Node): Run {
		const pages = this.#memoryPages;
		const key = `${pages}hot ${graphKey(graph, (entry) => this.#describe(entry))}`;
		return this.#instance(key, () => translateHot(graph, pages)).run as Run;
	}

	#instance(key: string, make: () => Uint8Array<ArrayBuffer>): WebAssembly.Exports {
		let module = this.#modules.find(key);
		if (module === undefined) {
			module = new WebAssembly.Module(make());
			this.#modules.add(key, module);
			this.compiled++;
		}
		this.instances++;
		return new WebAssembly.Instance(module, this.#imports).exports;
	}

	/** True if translated code must return to the host before it executes this address. */
	#isApart(address: bigint): boolean {
		return this.#text.isBreakpoint(address) || this.#text.isHot(address);
	}

	/** All properties of the instruction that a module with it depends on. */
	#describe(entry: RegionInstruction): string {
		return `${entry.address.toString(16)}${this.#isApart(entry.address) ? "!" : ""}:${describeContent(entry)}`;
	}
}

function describeContent(entry: RegionInstruction): string {
	switch (entry.kind) {
		case "plain":
			return String.fromCharCode(...entry.instruction.bytes);
		case "site":
			return `site ${entry.cell}`;
		case "gate":
			return `gate ${entry.index} ${describeGate(entry.gate)}`;
	}
}

function describeGate(gate: Gate): string {
	return gate.passes === "store" ? `store ${gate.takes} ${gate.at}` : gate.passes;
}
