import { KlpemuError } from "../../base/index.js";
import { ARGUMENT_REGISTERS, type CpuState, R8, R9, RSP } from "../../cpu/index.js";
import { isKaddr, type Kaddr, type Memory, toKaddr } from "../../memory/index.js";
import type { Kernel } from "../lib/index.js";

const REGISTERS = [...ARGUMENT_REGISTERS, R8, R9] as const;

/** The longest string that guest code may hand in, in bytes. */
const MAX_STRING = 4096;

/** A host function has followed a pointer of the guest to where nothing is mapped. */
export function isBadPointer(error: unknown): error is KlpemuError {
	return error instanceof KlpemuError && error.code === "MEMORY_UNMAPPED";
}

/** Text at a guest address, up to its NUL. Where nothing is mapped it ends. */
export function stringAt(memory: Memory, address: bigint): string {
	const bytes: number[] = [];
	for (let at = address; memory.permissions(at) !== 0 && bytes.length < MAX_STRING; at++) {
		const [byte] = memory.read(at, 1);
		if (byte === 0) break;
		bytes.push(byte!);
	}
	return new TextDecoder().decode(Uint8Array.from(bytes));
}

/** The arguments of a call that has reached a gate (System V ABI: six in registers, the others on the stack). */
export class GuestArguments {
	readonly memory: Memory;
	readonly #words: BigUint64Array;

	/** Copies the registers: the host function may look at its arguments after others have run. */
	constructor(memory: Memory, state: CpuState) {
		this.memory = memory;
		this.#words = state.words.slice(0, 16);
	}

	u64(index: number): bigint {
		const register = REGISTERS[index];
		if (register !== undefined) return this.#words[register]!;
		// Behind the return address, on which rsp is.
		const at = (toKaddr(this.#words[RSP]!) + 8 * (index - REGISTERS.length + 1)) | 0;
		return this.memory.permissions(at) === 0 ? 0n : this.memory.u64(at);
	}

	/** An unsigned int, or a size. */
	u32(index: number): number {
		return Number(this.u64(index) & 0xffffffffn);
	}

	/** A pointer into the kernel; 0 for NULL and for what is none. */
	pointer(index: number): Kaddr {
		const value = this.u64(index);
		return isKaddr(value) ? toKaddr(value) : 0;
	}

	string(index: number): string {
		return stringAt(this.memory, this.u64(index));
	}
}

/**
 * A kernel function in TypeScript, as guest code calls it. What it returns is rax; nothing leaves rax as it is. One that may
 * sleep, or calls guest code, is kernel code.
 */
export interface HostFunctions {
	readonly plain: Readonly<Record<string, (args: GuestArguments) => bigint | number | undefined>>;
	readonly sleeping: Readonly<Record<string, (args: GuestArguments) => Kernel<bigint | number | undefined>>>;
}
