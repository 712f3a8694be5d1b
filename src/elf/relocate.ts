/**
 * Formulas of relocations, in the psABI's letters: S symbol, A addend, P place, G the symbol's slot in the GOT, Z size.
 */
type Formula = "none" | "S+A" | "S+A-P" | "G+A-P" | "Z+A" | "GOT+A-P" | "S+A-GOT";

interface RelocationKind {
	readonly name: string;
	/** Bytes that are patched. */
	readonly size: number;
	readonly formula: Formula;
	/** How a 64-bit result must fit into fewer bytes. */
	readonly range: "any" | "signed" | "unsigned";
}

/** The types that can appear in relocatable x86-64 code (psABI table 4.10), thread-local ones excepted. */
const KINDS: Readonly<Record<number, RelocationKind>> = {
	0: { name: "R_X86_64_NONE", size: 0, formula: "none", range: "any" },
	1: { name: "R_X86_64_64", size: 8, formula: "S+A", range: "any" },
	2: { name: "R_X86_64_PC32", size: 4, formula: "S+A-P", range: "signed" },
	// Everything is linked statically: a PLT entry would only jump to the symbol.
	4: { name: "R_X86_64_PLT32", size: 4, formula: "S+A-P", range: "signed" },
	9: { name: "R_X86_64_GOTPCREL", size: 4, formula: "G+A-P", range: "signed" },
	10: { name: "R_X86_64_32", size: 4, formula: "S+A", range: "unsigned" },
	11: { name: "R_X86_64_32S", size: 4, formula: "S+A", range: "signed" },
	12: { name: "R_X86_64_16", size: 2, formula: "S+A", range: "unsigned" },
	13: { name: "R_X86_64_PC16", size: 2, formula: "S+A-P", range: "signed" },
	14: { name: "R_X86_64_8", size: 1, formula: "S+A", range: "unsigned" },
	15: { name: "R_X86_64_PC8", size: 1, formula: "S+A-P", range: "signed" },
	24: { name: "R_X86_64_PC64", size: 8, formula: "S+A-P", range: "any" },
	25: { name: "R_X86_64_GOTOFF64", size: 8, formula: "S+A-GOT", range: "any" },
	26: { name: "R_X86_64_GOTPC32", size: 4, formula: "GOT+A-P", range: "signed" },
	28: { name: "R_X86_64_GOTPCREL64", size: 8, formula: "G+A-P", range: "any" },
	29: { name: "R_X86_64_GOTPC64", size: 8, formula: "GOT+A-P", range: "any" },
	32: { name: "R_X86_64_SIZE32", size: 4, formula: "Z+A", range: "unsigned" },
	33: { name: "R_X86_64_SIZE64", size: 8, formula: "Z+A", range: "any" },
	41: { name: "R_X86_64_GOTPCRELX", size: 4, formula: "G+A-P", range: "signed" },
	42: { name: "R_X86_64_REX_GOTPCRELX", size: 4, formula: "G+A-P", range: "signed" },
};

/** The psABI's name of a relocation type, also for the types that the linker refuses. */
export function relocationName(type: number): string {
	return KINDS[type]?.name ?? `R_X86_64_<${type}>`;
}

/** Bytes that a relocation patches; undefined for a type that is not supported. */
export function relocationSize(type: number): number | undefined {
	return KINDS[type]?.size;
}

/** True if the relocation needs a GOT slot for its symbol. */
export function needsGotSlot(type: number): boolean {
	return KINDS[type]?.formula === "G+A-P";
}

/** True if the value depends on the place that is patched. */
export function isPcRelative(type: number): boolean {
	return KINDS[type]?.formula.endsWith("-P") === true;
}

/** True for R_X86_64_PC32 and R_X86_64_PLT32, the types for the displacement of a branch. */
export function isBranchRelocation(type: number): boolean {
	return type === 2 || type === 4;
}

/** The letters, as signed 64-bit values. Only the types that need them call `slot` and `got`. */
export interface RelocationInput {
	readonly symbol: bigint;
	readonly addend: bigint;
	readonly place: bigint;
	readonly size: bigint;
	readonly slot: bigint;
	readonly got: bigint;
}

export interface RelocationResult {
	readonly size: number;
	/** Signed, 64 bits. */
	readonly value: bigint;
	readonly fits: boolean;
}

/** Computes a relocation of a supported type. */
export function computeRelocation(type: number, input: RelocationInput): RelocationResult {
	const kind = KINDS[type]!;
	const value = BigInt.asIntN(64, evaluate(kind.formula, input));
	const bits = 8 * kind.size;
	const fits =
		kind.range === "any" ||
		value === (kind.range === "signed" ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value)) ||
		// Eight and sixteen bit fields take either sign, as GNU ld reads the psABI.
		(kind.range === "unsigned" && bits < 32 && value === BigInt.asIntN(bits, value));
	return { size: kind.size, value, fits };
}

/**
 * The bytes that a relocation writes; undefined for a type that a kernel module cannot have, or if the value does not
 * fit.
 */
export function relocationBytes(
	type: number,
	{ symbol, addend, place }: Pick<RelocationInput, "symbol" | "addend" | "place">,
): Uint8Array | undefined {
	const formula = KINDS[type]?.formula;
	if (formula !== "S+A" && formula !== "S+A-P") return undefined;
	const { size, value, fits } = computeRelocation(type, { symbol, addend, place, size: 0n, slot: 0n, got: 0n });
	return fits
		? Uint8Array.from({ length: size }, (_, index) => Number((value >> BigInt(8 * index)) & 0xffn))
		: undefined;
}

function evaluate(formula: Formula, { symbol, addend, place, size, slot, got }: RelocationInput): bigint {
	switch (formula) {
		case "none":
			return 0n;
		case "S+A":
			return symbol + addend;
		case "S+A-P":
			return symbol + addend - place;
		case "G+A-P":
			return slot + addend - place;
		case "Z+A":
			return size + addend;
		case "GOT+A-P":
			return got + addend - place;
		case "S+A-GOT":
			return symbol + addend - got;
	}
}
