import { ARGUMENT_REGISTERS, type CpuState, R8, R9, RSP } from "../../cpu/index.js";
import { type Kaddr, type Memory, toKaddr } from "../../memory/index.js";
import type { Kernel } from "../lib/index.js";
import { GuestMemory, toPointer } from "./guest-memory.js";

const REGISTERS = [...ARGUMENT_REGISTERS, R8, R9] as const;

/** The arguments of a call that has reached a gate (System V ABI: six in registers, the others on the stack). */
export class GuestArguments {
	readonly memory: Memory;
	readonly #words: BigUint64Array;

	/** Copies the registers: the host function may read its arguments after other tasks have run. */
	constructor(memory: Memory, state: Pick<CpuState, "words">) {
		this.memory = memory;
		this.#words = state.words.slice(0, 16);
	}

	u64(index: number): bigint {
		this.memory.onArgument?.(index);
		const register = REGISTERS[index];
		if (register !== undefined) return this.#words[register]!;
		// Behind the return address, on which rsp is.
		const at = (toKaddr(this.#words[RSP]!) + 8 * (index - REGISTERS.length + 1)) | 0;
		return this.memory.permissions(at) === 0 ? 0n : this.memory.u64(at);
	}

	/** The arguments of another call, at most six: each is the one of this call with the given index. */
	pick(indices: readonly number[]): GuestArguments {
		const picked = new GuestArguments(this.memory, { words: this.#words });
		for (const [index, from] of indices.entries()) picked.#words[REGISTERS[index]!] = this.u64(from);
		return picked;
	}

	/** The arguments of a call from the same place with other values, at most six. */
	withValues(values: readonly bigint[]): GuestArguments {
		const given = new GuestArguments(this.memory, { words: this.#words });
		for (const [index, value] of values.entries()) given.#words[REGISTERS[index]!] = value;
		return given;
	}

	/** Where the call returns to; 0: the stack is gone. */
	get caller(): Kaddr {
		const at = toKaddr(this.#words[RSP]!);
		return this.memory.permissions(at) === 0 ? 0 : this.memory.kaddr(at);
	}

	/** An unsigned int, or a size. */
	u32(index: number): number {
		return Number(this.u64(index) & 0xffffffffn);
	}

	/** A pointer into the kernel; 0 for NULL. Throws `GUEST_FAULT` for a value that leads elsewhere. */
	pointer(index: number): Kaddr {
		return toPointer(this.u64(index));
	}

	/** The text that a pointer leads to. Throws `GUEST_FAULT`. */
	string(index: number): string {
		return new GuestMemory(this.memory).string(this.u64(index));
	}
}

/**
 * A kernel function in TypeScript that guest code calls. Its result is rax; undefined leaves rax unchanged. A function
 * that may sleep, or calls guest code, is kernel code.
 */
export interface HostFunctions {
	readonly plain: Readonly<Record<string, (args: GuestArguments) => bigint | number | undefined>>;
	readonly sleeping: Readonly<Record<string, (args: GuestArguments) => Kernel<bigint | number | undefined>>>;
}
