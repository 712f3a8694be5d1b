/** Where the code and the data of a case are; hardware.c has the same numbers. */
export const CODE = 0x10000000n;
export const CODE_SIZE = 0x10000;
export const DATA = 0x20000000n;
export const DATA_SIZE = 0x4000;
export const PATTERN_BYTES = 64;

/** One run of some code. It ends at the first exception: the code is surrounded by int3. */
export interface Case {
	/** For people: the disassembly or the like. */
	readonly name: string;
	/** Row of the opcode table that it is about, for exceptions; several for a sequence. */
	readonly rows: readonly string[];
	readonly code: Uint8Array;
	/** Sixteen registers, rip, rflags, gs base: the words of CpuState. */
	readonly state: BigUint64Array;
	/** Fills the data, over and over. */
	readonly pattern: Uint8Array;
	/** Flags that may differ: they are undefined. */
	readonly undefinedFlags: bigint;
	/** True: a user program may not do this, or the processor's answer is its own. */
	readonly notOnHardware: boolean;
}

export interface Outcome {
	readonly kind: string;
	/** Of a page fault. */
	readonly address: bigint | undefined;
	/** Instructions; the hardware does not count them. */
	readonly executed?: number;
	/** Sixteen registers, rip, rflags. */
	readonly state: readonly bigint[];
	/** Words of the data that changed: offset and content. */
	readonly changes: readonly (readonly [number, bigint])[];
}

/** What runs cases: a Cpu, or the processor of this machine. */
export interface Runner {
	readonly name: string;
	run(cases: readonly Case[]): Promise<Outcome[]>;
}

/** CF PF AF ZF SF DF OF NT ID: what a user program can change, but AC, with which its accesses must be aligned. */
const COMPARED_FLAGS = 0x204cd5n;
const NAMES = [..."rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split(" "), ...["rip", "rflags"]];

/** What differs, a line each; empty when nothing does. */
export function differences(given: Case, ours: Outcome, reference: Outcome): string[] {
	const lines: string[] = [];
	if (ours.kind !== reference.kind) lines.push(`ends with ${ours.kind}, reference: ${reference.kind}`);
	if (ours.address !== reference.address)
		lines.push(`address ${hex(ours.address)}, reference: ${hex(reference.address)}`);
	for (const [index, name] of NAMES.entries()) {
		const mask = name === "rflags" ? COMPARED_FLAGS & ~given.undefinedFlags : -1n;
		const [a, b] = [ours.state[index]! & mask, reference.state[index]! & mask];
		if (a !== b) lines.push(`${name} ${hex(a)}, reference: ${hex(b)}, start: ${hex(given.state[index]!)}`);
	}
	const text = (outcome: Outcome) => outcome.changes.map(([offset, word]) => `${offset}=${hex(word)}`).join(" ");
	if (text(ours) !== text(reference)) lines.push(`memory ${text(ours)}, reference: ${text(reference)}`);
	return lines;
}

export function hex(value: bigint | undefined): string {
	return value === undefined ? "none" : `0x${value.toString(16)}`;
}
