/** The part of keystone-js that we use; it comes without types. */
export interface KeystoneModule {
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

let loading: Promise<KeystoneModule> | undefined;

/** What it printed since the last call: some errors come out only there, with a result that looks like a success. */
let printed: string[] = [];

/** The module, instantiated once. */
export async function loadKeystone(): Promise<KeystoneModule> {
	const print = (line: string): void => {
		printed.push(line);
	};
	// Only when it is needed: loading it takes longer than most runs.
	loading ??= import("@alexaltea/keystone-js").then(
		({ default: create }) => create({ print, printErr: print }) as Promise<KeystoneModule>,
	);
	return loading;
}

/** Assembles AT&T source, or says why not. */
export function runKeystone(
	keystone: KeystoneModule,
	source: string,
	address: bigint,
): { readonly bytes: Uint8Array } | { readonly error: string } {
	const engine = new keystone.Keystone(keystone.ARCH_X86, keystone.MODE_64);
	try {
		engine.option(keystone.OPT_SYNTAX, keystone.OPT_SYNTAX_ATT);
		printed = [];
		const result = engine.asm(source, address);
		const message = printed.find((line) => line.includes("error:"));
		if (message !== undefined) return { error: message.replace(/^.*error:\s*/, "") };
		if (result.failed || result.mc === undefined) return { error: keystone.strerror(engine.errno()) };
		return { bytes: Uint8Array.from(result.mc) };
	} finally {
		(engine.delete ?? engine.close)?.call(engine);
	}
}
