import { type Kaddr, type Memory, PAGE_SIZE, PERM, toU64 } from "../../memory/index.js";
import { accessesOf, type MemoryAccess } from "./accesses.js";
import { decodeBytes, type Instruction, MAX_INSTRUCTION_BYTES } from "./decoder.js";

/** An instruction that was decoded, with the bytes it was decoded from. */
interface Decoded {
	readonly bytes: readonly number[];
	readonly instruction: Instruction;
	readonly accesses: readonly MemoryAccess[];
}

const NONE: readonly MemoryAccess[] = [];

/** The accesses of the instructions in memory. */
export class AccessesAt {
	readonly #memory: Memory;
	/** Code in which only calls and jumps change, which access nothing. */
	readonly #isFixed: (ip: Kaddr) => boolean;
	readonly #decoded = new Map<Kaddr, Decoded>();

	constructor(memory: Memory, isFixed: (ip: Kaddr) => boolean) {
		this.#memory = memory;
		this.#isFixed = isFixed;
	}

	/** None where no instruction is. */
	at(ip: Kaddr): readonly MemoryAccess[] {
		return this.#decode(ip)?.accesses ?? NONE;
	}

	instructionAt(ip: Kaddr): Instruction | undefined {
		return this.#decode(ip)?.instruction;
	}

	#decode(ip: Kaddr): Decoded | undefined {
		const known = this.#decoded.get(ip);
		const memory = this.#memory;
		if (known !== undefined && this.#isFixed(ip)) return known;
		// Its module may be gone.
		if (!(memory.permissions(ip) & PERM.EXEC)) return undefined;
		if (known?.bytes.every((byte, i) => memory.u8((ip + i) | 0) === byte)) return known;
		const room = memory.permissions((ip + MAX_INSTRUCTION_BYTES) | 0)
			? MAX_INSTRUCTION_BYTES
			: PAGE_SIZE - (ip & (PAGE_SIZE - 1));
		const instruction = decodeBytes(memory.read(ip, Math.min(room, MAX_INSTRUCTION_BYTES)), toU64(ip));
		if ("error" in instruction) return undefined;
		const made = { bytes: [...instruction.bytes], instruction, accesses: accessesOf(instruction) };
		this.#decoded.set(ip, made);
		return made;
	}
}
