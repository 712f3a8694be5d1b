import type { Shadow } from "../../memory/index.js";

/**
 * The functions of a Unicorn engine that {@link UnicornCpu} uses, the same for all builds. Addresses and register values
 * are 64-bit words; functions throw `CPU_UNICORN` with the engine's own error text.
 */
export interface UnicornEngine {
	/** The build, for messages. */
	readonly description: string;
	/** Writes the registers of `ids` from `words`, in one call. */
	regWrite(ids: Int32Array, words: BigUint64Array): void;
	regRead(ids: Int32Array, words: BigUint64Array): void;
	/** Maps guest pages onto host memory: `bytes` is a view of a buffer that never moves. */
	map(address: bigint, bytes: Uint8Array, perm: number): void;
	unmap(address: bigint, length: number): void;
	protect(address: bigint, length: number, perm: number): void;
	/** Drops translations of `[address, end)`. */
	removeCache(address: bigint, end: bigint): void;
	/** Installs the hook of counter.ts before every instruction and returns the words it shares with the host. */
	hookCounter(): BigUint64Array;
	/** `call(address)` before each instruction in `[begin, end]`; with begin > end before every one. */
	hookCode(call: (address: bigint) => void, begin: bigint, end: bigint): EngineHook;
	/** `call(number)` at interrupts and exceptions that the guest has no handler for. */
	hookInterrupt(call: (number: number) => void): EngineHook;
	/** `call(type, address)` at accesses that fail; the type is one of {@link MEM}. */
	hookMemoryInvalid(call: (type: number, address: bigint) => void): EngineHook;
	/**
	 * `call(address, size)` before accesses of the guest to what has a shadow: to bytes that it forbids, and, of engines that do not look
	 * themselves, to others too.
	 */
	hookForbidden(call: (address: bigint, size: number) => void, shadow: Shadow): void;
	/** Runs until something stops it, or before the instruction at `until`. Returns the engine's error number, 0 for none. */
	start(address: bigint, until: bigint): number;
	stop(): void;
	/**
	 * Forgets an exception that the guest did not handle; else the next one would be a double fault. Registers are undefined
	 * afterwards.
	 */
	forgetException(): void;
	/**
	 * Runs host code that looks at guest memory, from inside a hook. Engines that share the memory of the host just call
	 * it.
	 */
	sync<T>(action: () => T): T;
	close(): void;
}

export interface EngineHook {
	remove(): void;
}

export const UC_ARCH_X86 = 4;
export const UC_MODE_64 = 8;

/**
 * uc_x86_reg of the words of CpuState, in their order: sixteen registers, rip, rflags, gs base. Same in all of Unicorn 2.
 */
export const REGISTER_IDS = Int32Array.of(
	...[35, 38, 40, 37, 44, 36, 43, 39, 106, 107, 108, 109, 110, 111, 112, 113],
	...[41, 253, 251],
);

/** uc_mem_type of failed accesses. */
export const MEM = {
	READ_UNMAPPED: 19,
	WRITE_UNMAPPED: 20,
	FETCH_UNMAPPED: 21,
	WRITE_PROT: 22,
	READ_PROT: 23,
	FETCH_PROT: 24,
} as const;

export const UC_ERR_INSN_INVALID = 10;

/** MEM_ACCESS: reads and writes, before they are made. */
export const HOOK = { INTR: 1, CODE: 4, MEM_INVALID: 0x3f0, MEM_ACCESS: 0xc00 } as const;
