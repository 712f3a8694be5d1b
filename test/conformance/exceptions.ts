/**
 * Where libunicorn differs from every processor (where processors differ from each other: models.ts). A row must be needed: when nothing differs any more, the test fails. `rows` are
 * patterns of the opcode table with the mnemonic, as conformance prints them.
 */
export interface Exception {
	readonly cpu: "unicorn";
	readonly row: RegExp;
	/** Which differences; every line of a case's must match. */
	readonly difference: RegExp;
	readonly reason: string;
	/** Builds that have it, by their description; undefined: all. */
	readonly build?: RegExp;
}

const NOT_KNOWN = /^(ends with invalid-opcode|rip|rflags|r\w+ |memory ,)/;

/** Measured with libunicorn 2.0.1 and 2.1.4, which are QEMU 5.0.1 inside, against a processor of AMD. */
export const EXCEPTIONS: readonly Exception[] = [
	{
		cpu: "unicorn",
		row: /^f[67] \/1 test$/,
		difference: NOT_KNOWN,
		reason: "the second encoding of test with an immediate is #UD in QEMU 5",
	},
	{
		cpu: "unicorn",
		row: /^0f 38 f[01] \/r movbe$/,
		difference: NOT_KNOWN,
		reason: "no model of processor that Unicorn 2.0 offers has movbe",
		build: / 2\.0 /,
	},
	{
		cpu: "unicorn",
		row: /^f3 0f b8 \/r popcnt$/,
		difference: NOT_KNOWN,
		reason: "no model of processor that Unicorn 2.0 offers has popcnt",
		build: / 2\.0 /,
	},
	{
		cpu: "unicorn",
		row: /^0f 18 \/r nop$/,
		difference: NOT_KNOWN,
		reason: "the register forms of the prefetch hints are #UD in QEMU 5",
	},
	{
		cpu: "unicorn",
		row: /^f[67] \/3 neg$/,
		difference: /^rflags/,
		reason: "lock neg computes its flags from the negated value",
	},
	{
		cpu: "unicorn",
		row: /^0f a[4c] \/r sh[lr]d$/,
		difference: /^(memory|rflags)/,
		reason: "the address of a rip-relative operand leaves out the immediate byte: it is one too low",
	},
	{
		cpu: "unicorn",
		row: /^0f b1 \/r cmpxchg$/,
		difference: /^r\w+ /,
		reason: "a 32-bit cmpxchg that finds no equality clears the upper half of its register operand",
	},
	{
		cpu: "unicorn",
		row: /over the end of the lower half/,
		difference: /^(ends with page-fault|address 0x7ffffffffffc)/,
		reason: "an access that is only partly canonical is a page fault in QEMU, which knows linear addresses only",
	},
	{
		cpu: "unicorn",
		row: /^lock movnti$/,
		difference: /^(ends with breakpoint|rip|memory)/,
		reason: "QEMU 5 accepts a lock prefix on movnti",
	},
	{
		cpu: "unicorn",
		row: /^0f 01 ee rdpkru$/,
		difference: NOT_KNOWN,
		reason: "protection keys are not enabled in Unicorn (CR4.PKE)",
	},
];
