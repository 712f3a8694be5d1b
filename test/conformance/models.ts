import { readFileSync } from "node:fs";
import { RFLAGS, RIP, RSP } from "../../src/cpu/index.js";
import { decodeBytes, type Operand } from "../../src/cpu/x86/index.js";
import { type Case, CODE, DATA, type Outcome } from "./case.js";

/**
 * Where processors differ from each other, within what their manuals allow. Any of the behaviours is right, on the hardware and of
 * a Cpu; docs/cpu.md says which one `jit` has, and models.test.ts holds it to that.
 */
export interface Model {
	/** Rows of the opcode table, with the mnemonic, as conformance prints them. */
	readonly row: RegExp;
	/** What differs, and which manual says or leaves open what. */
	readonly reason: string;
	/** What `jit` does. */
	readonly jit: string;
	/** Maps each of the behaviours to the same outcome, and leaves every other outcome as it is. */
	normal(given: Case, outcome: Outcome): Outcome;
}

const LOW_HALF = 0xffffffffn;

export const MODELS: readonly Model[] = [
	{
		row: /^ff \/2 call$/,
		reason:
			"A near call to a non-canonical address is #GP(0), with rsp as it was. SDM volume 2, CALL, checks the target before the push; " +
			"APM volume 3, CALL (Near), has no order. Processors of AMD have not pushed the return address, a Xeon of family 6, model 207 has.",
		jit: "has not pushed",
		normal(given, outcome) {
			if (outcome.kind !== "general-protection") return outcome;
			const offset = Number(given.state[RSP]! - 8n - DATA);
			const pushed = CODE + BigInt(given.code.length);
			return { ...outcome, changes: outcome.changes.filter(([at, word]) => at !== offset || word !== pushed) };
		},
	},
	{
		row: /^0f b[cd] \/r bs[fr]$/,
		reason:
			"A source of 0 leaves the destination as it is. SDM volume 2, BSF and BSR: on some older processors a 32-bit one clears the " +
			"upper half of the 64-bit register and leaves the lower half; APM volume 3: the destination is unchanged.",
		jit: "leaves all 64 bits as they are",
		normal(given, outcome) {
			const register = zeroSourceDestination(given, outcome);
			if (register === undefined) return outcome;
			return { ...outcome, state: outcome.state.with(register, outcome.state[register]! & LOW_HALF) };
		},
	},
	{
		row: /(cmps|scas)/,
		reason:
			"A repeated comparison that faults half-way: SDM volume 2, REP, gives the flags of before the instruction back; processors of AMD " +
			"have those of the last comparison.",
		jit: "the flags of before the instruction",
		normal(given, outcome) {
			const fault = outcome.kind !== "breakpoint" && outcome.state[RIP] === CODE;
			return fault ? { ...outcome, state: outcome.state.with(RFLAGS, given.state[RFLAGS]!) } : outcome;
		},
	},
	{
		row: /^0f (a3|ab|b3|bb) \/r bt[src]?$/,
		reason:
			"Whether an address is canonical depends on its width, 48 bits or, with five levels of page tables, 57 (SDM volume 1, 3.3.7.1). " +
			"Between the two an access is #GP with the one and a page fault with the other.",
		jit: "has 48 bits: #GP",
		normal(_given, outcome) {
			if (outcome.address === undefined) return outcome;
			const signed = BigInt.asIntN(64, outcome.address);
			const between = BigInt.asIntN(48, signed) !== signed && BigInt.asIntN(57, signed) === signed;
			return between ? { ...outcome, kind: "general-protection", address: undefined } : outcome;
		},
	},
];

/** The destination of a 32-bit bsf or bsr (of a single instruction) that found its source to be 0. */
function zeroSourceDestination(given: Case, outcome: Outcome): number | undefined {
	const decoded = decodeBytes(given.code, CODE);
	if (given.rows.length !== 1 || "error" in decoded || decoded.size !== 32) return undefined;
	const [destination] = decoded.operands as readonly Operand[];
	const zero = (outcome.state[17]! & 0x40n) !== 0n;
	return zero && destination?.kind === "reg" ? destination.reg : undefined;
}

/** The same outcome for all behaviours that the case may have. */
export function normal(given: Case, outcome: Outcome): Outcome {
	const models = MODELS.filter(({ row }) => given.rows.some((name) => row.test(name)));
	return models.reduce((known, model) => model.normal(given, known), outcome);
}

/** Instructions that came with later processors, by their flag in /proc/cpuinfo. Without it they are #UD, or other instructions. */
const FEATURES: readonly (readonly [string, RegExp])[] = [
	["movbe", / movbe$/],
	["sse4_2", / crc32$/],
	["popcnt", / popcnt$/],
	["bmi1", / tzcnt$/],
	["abm", / lzcnt$/],
	["lahf_lm", / [ls]ahf$/],
	["cx16", / cmpxchg8b$/],
];

/** Which cases a processor can run: one with these words in the flags of its /proc/cpuinfo. */
export function onProcessor(flags: ReadonlySet<string>): (given: Case) => boolean {
	const lacking = FEATURES.filter(([flag]) => !flags.has(flag)).map(([, row]) => row);
	return (given) => !given.notOnHardware && !given.rows.some((name) => lacking.some((row) => row.test(name)));
}

/** The flags of this machine's processor. Without a /proc/cpuinfo: those of an old one. */
export function processorFlags(): ReadonlySet<string> {
	let text = "";
	try {
		text = readFileSync("/proc/cpuinfo", "utf8");
	} catch {
		process.stderr.write(
			"conformance: there is no /proc/cpuinfo, newer instructions are not compared with the hardware\n",
		);
	}
	return new Set(/^flags\s*:(.*)$/m.exec(text)?.[1]?.trim().split(/\s+/));
}
