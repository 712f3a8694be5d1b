import type { EmscriptenLoader } from "../base/index.js";

/** The part of keystone-js that we use; it comes without types. */
interface KeystoneModule {
	readonly ARCH_X86: number;
	readonly MODE_64: number;
	readonly OPT_SYNTAX: number;
	readonly OPT_SYNTAX_ATT: number;
	readonly Keystone: new (arch: number, mode: number) => KeystoneEngine;
	strerror(code: number): string;
}

interface KeystoneEngine {
	option(type: number, value: number): void;
	/** Does not throw: look at `failed`, then at errno(). */
	asm(source: string, address: bigint): { readonly mc?: Uint8Array; readonly failed: boolean };
	errno(): number;
	delete?(): void;
	close?(): void;
}

/** The assembler Keystone. Loading it takes longer than most runs of a scenario. */
export class Keystone {
	readonly #module: KeystoneModule;
	/** The lines that the module printed. It reports some errors only there, with a result that looks like a success. */
	readonly #printed: string[];

	private constructor(module: KeystoneModule, printed: string[]) {
		this.#module = module;
		this.#printed = printed;
	}

	/** Instantiates the module that `load` gives. */
	static async create(load: EmscriptenLoader): Promise<Keystone> {
		const printed: string[] = [];
		const print = (line: string): void => {
			printed.push(line);
		};
		const module = await (await load()).default({ print, printErr: print });
		return new Keystone(module as KeystoneModule, printed);
	}

	/** Assembles AT&T source for `address`, or returns the reason why this is not possible. */
	run(source: string, address: bigint): { readonly bytes: Uint8Array } | { readonly error: string } {
		const { ARCH_X86, MODE_64, OPT_SYNTAX, OPT_SYNTAX_ATT, Keystone: Engine } = this.#module;
		const engine = new Engine(ARCH_X86, MODE_64);
		try {
			engine.option(OPT_SYNTAX, OPT_SYNTAX_ATT);
			this.#printed.length = 0;
			const result = engine.asm(source, address);
			const message = this.#printed.find((line) => line.includes("error:"));
			if (message !== undefined) return { error: message.replace(/^.*error:\s*/, "") };
			if (result.failed || result.mc === undefined) return { error: this.#module.strerror(engine.errno()) };
			return { bytes: Uint8Array.from(result.mc) };
		} finally {
			(engine.delete ?? engine.close)?.call(engine);
		}
	}
}
