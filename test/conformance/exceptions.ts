/**
 * Where libunicorn differs from the processor. A row must be needed: when nothing differs any more, the test fails. `rows` are
 * patterns of the opcode table with the mnemonic, as conformance prints them.
 */
export interface Exception {
	readonly cpu: "unicorn";
	readonly row: RegExp;
	/** Which differences; every line of a case's must match. */
	readonly difference: RegExp;
	readonly reason: string;
}

export const EXCEPTIONS: readonly Exception[] = [];
