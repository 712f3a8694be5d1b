/**
 * A kernel address as a JavaScript number: the int32 whose sign extension is the 64-bit address.
 *
 * The whole guest kernel is in the top 2 GiB, 0xffffffff80000000 and up, as with -mcmodel=kernel. For example,
 * 0xffffffff81000000 is the int32 -0x7f000000, which V8 keeps in a register without allocating. So hot code (the ftrace
 * handler, the unwinder) never uses a BigInt. Arithmetic must end in `| 0`.
 */
export type Kaddr = number;

/** The 64-bit address, as an unsigned BigInt. */
export function toU64(address: Kaddr): bigint {
	return BigInt.asUintN(64, BigInt(address | 0));
}

/** True when a 64-bit address lies in the window that a {@link Kaddr} can hold. */
export function isKaddr(address: bigint): boolean {
	return BigInt.asUintN(64, address) >= 0xffffffff80000000n;
}

/** The address as a {@link Kaddr}; undefined outside of the window. */
export function kaddrOf(address: bigint): Kaddr | undefined {
	return isKaddr(address) ? toKaddr(address) : undefined;
}

/** The low 32 bits of a 64-bit address for which {@link isKaddr} is true (the caller checks it). */
export function toKaddr(address: bigint): Kaddr {
	return Number(BigInt.asIntN(32, address));
}

/** `0xffffffff81000000`, as the kernel prints addresses. */
export function hex(address: Kaddr | bigint): string {
	const value = typeof address === "bigint" ? BigInt.asUintN(64, address) : toU64(address);
	return `0x${value.toString(16).padStart(16, "0")}`;
}
