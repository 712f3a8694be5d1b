import type { CpuState } from "../../cpu/index.js";
import type { AccessesAt, Instruction, MemoryAccess, Semantic } from "../../cpu/x86/index.js";
import type { Kaddr } from "../../memory/index.js";

/** Instructions that only make data of data. */
const PLAIN: ReadonlySet<Semantic> = new Set<Semantic>([
	...(["add", "or", "adc", "sbb", "and", "sub", "xor", "cmp", "test", "inc", "dec", "neg", "not"] as const),
	...(["rol", "ror", "rcl", "rcr", "shl", "shr", "sar", "shld", "shrd", "mul", "imul1", "imul", "nop"] as const),
	...(["mov", "movzx", "movsx", "lea", "xchg", "xadd", "cmpxchg", "bswap", "bt", "bts", "btr", "btc"] as const),
	...(["bsf", "bsr", "tzcnt", "lzcnt", "popcnt", "cmov", "setcc", "convert", "spread", "jcc", "jmp"] as const),
]);
/** Instructions on all ways of a detour. */
const LIMIT = 64;

/** All that can run between a branch and the place at which both of its ways meet again. */
export interface Detour {
	readonly join: Kaddr;
	readonly instructions: readonly { readonly instruction: Instruction; readonly accesses: readonly MemoryAccess[] }[];
}

/**
 * The instructions on both ways of the branch at `ip`, if they meet again, only make data of data, and do not go in circles: then the
 * branch decides what data there is, and nothing else. Undefined otherwise.
 */
export function detourOf(ip: Kaddr, accesses: AccessesAt): Detour | undefined {
	const begins = next(ip, accesses);
	// Places on one way from the branch on: where the ways meet is one of them.
	const open = begins.slice(0, 1);
	const seen = new Set<Kaddr>(open);
	for (let join = open.shift(); join !== undefined && seen.size < LIMIT; join = open.shift()) {
		const between = allUntil(ip, begins, join, accesses);
		if (between !== undefined) return { join, instructions: between.map((at) => decoded(at, accesses)) };
		for (const further of isPlain(join, accesses) ? next(join, accesses) : []) {
			if (seen.has(further)) continue;
			seen.add(further);
			open.push(further);
		}
	}
	return undefined;
}

const decoded = (at: Kaddr, accesses: AccessesAt) => ({
	instruction: accesses.instructionAt(at)!,
	accesses: accesses.at(at),
});

function isPlain(ip: Kaddr, accesses: AccessesAt): boolean {
	const instruction = accesses.instructionAt(ip);
	return instruction !== undefined && PLAIN.has(instruction.row.semantic);
}

/** Where the instruction at `ip` can lead. */
function next(ip: Kaddr, accesses: AccessesAt): Kaddr[] {
	const instruction = accesses.instructionAt(ip)!;
	const behind = (ip + instruction.length) | 0;
	const [operand] = instruction.operands;
	if (operand?.kind !== "rel") return [behind];
	const target = Number(BigInt.asIntN(32, operand.target));
	return instruction.row.semantic === "jmp" ? [target] : [behind, target];
}

/** All instructions before `join` that can follow; undefined: not all ways lead there, or one is a circle. */
function allUntil(branch: Kaddr, begins: readonly Kaddr[], join: Kaddr, accesses: AccessesAt): Kaddr[] | undefined {
	const done: Kaddr[] = [];
	const onWay = new Set<Kaddr>([branch]);
	const visit = (ip: Kaddr): boolean => {
		if (ip === join || done.includes(ip)) return true;
		if (onWay.has(ip) || onWay.size + done.length > LIMIT || !isPlain(ip, accesses)) return false;
		onWay.add(ip);
		if (!next(ip, accesses).every(visit)) return false;
		onWay.delete(ip);
		done.push(ip);
		return true;
	};
	return begins.every(visit) ? done : undefined;
}

/** The memory that an instruction touches in a certain state. */
export interface Touched {
	readonly address: Kaddr;
	readonly length: number;
	readonly reads: boolean;
	readonly writes: boolean;
}

/** The accesses of a detour. Their addresses must not depend on what runs in it. */
export function accessesOn({ instructions }: Detour, state: CpuState): Touched[] {
	return instructions.flatMap(({ accesses }) =>
		accesses.map((one) => ({
			address: one.address(state),
			length: one.length(state),
			reads: one.reads,
			writes: one.writes,
		})),
	);
}
