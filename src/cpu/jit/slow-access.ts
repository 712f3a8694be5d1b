import { type Memory, PERM } from "../../memory/index.js";
import type { Fault } from "../cpu.js";
import { AREA, NEED, PTE_CODE } from "./area.js";

/**
 * Memory accesses that the host makes for translated code: across pages, outside the window, to pages with code, or
 * faulting.
 */
export class SlowAccess {
	readonly #memory: Memory;
	readonly #codeChanged: (address: bigint, length: number) => boolean;
	#address = 0n;
	#bytes = 0;
	#fault: Fault | undefined;
	/** Translated code ends before an access that the shadow forbids. */
	#forbidden = false;
	/** The next instruction makes that access all the same. */
	passing = false;

	constructor(memory: Memory, codeChanged: (address: bigint, length: number) => boolean) {
		this.#memory = memory;
		this.#codeChanged = codeChanged;
	}

	/** True if the fault is none: the shadow forbids the access. */
	takeForbidden(): boolean {
		const forbidden = this.#forbidden;
		this.#forbidden = false;
		return forbidden;
	}

	takeFault(): Fault {
		const fault = this.#fault;
		if (fault === undefined) throw new Error("translated code reported a fault, but the host raised none");
		this.#fault = undefined;
		return fault;
	}

	/** Checks all bytes for {@link NEED}, then copies them to the bounce buffer. Returns its place, or 0 and a fault. */
	prepare(bytes: number, need: number): number {
		const { view } = this.#memory;
		const start = view.getBigUint64(AREA.slowAddress, true);
		const last = BigInt.asUintN(64, start + BigInt(bytes - 1));
		// That the address is canonical is checked before paging, and for all bytes.
		if (!canonical(start) || !canonical(last)) {
			this.#fault = { kind: (need & NEED.stack) !== 0 ? "stack-segment" : "general-protection" };
			return 0;
		}
		for (const address of [start, start >> 12n === last >> 12n ? start : last & ~0xfffn]) {
			this.#fault = this.#check(address, need);
			if (this.#fault !== undefined) return 0;
		}
		if (!this.passing && this.#memory.isForbidden(start, bytes)) {
			this.#forbidden = true;
			return 0;
		}
		this.#address = start;
		this.#bytes = bytes;
		for (let i = 0; i < bytes; i++) this.#memory.bytes[AREA.bounce + i] = this.#memory.bytes[this.#offset(i)]!;
		return AREA.bounce;
	}

	#check(address: bigint, need: number): Fault | undefined {
		const perm = this.#memory.permissions(address);
		if ((need & NEED.r) !== 0 && (perm & PERM.READ) === 0) return { kind: "page-fault", address, access: "read" };
		if ((need & NEED.w) !== 0 && (perm & PERM.WRITE) === 0) return { kind: "page-fault", address, access: "write" };
		return undefined;
	}

	#offset(index: number): number {
		return this.#memory.offset(BigInt.asUintN(64, this.#address + BigInt(index)));
	}

	/** Copies the bounce buffer back. Returns 1 if that changed translated code. */
	commit(): number {
		let code = false;
		for (let i = 0; i < this.#bytes; i++) {
			this.#memory.bytes[this.#offset(i)] = this.#memory.bytes[AREA.bounce + i]!;
			code ||= (this.#memory.entry(BigInt.asUintN(64, this.#address + BigInt(i))) & PTE_CODE) !== 0;
		}
		return code && this.#codeChanged(this.#address, this.#bytes) ? 1 : 0;
	}

	/** Divides rdx:rax by the divisor, all in the bounce buffer. Returns 1 for a divide error. */
	divide(signed: number): number {
		const { view } = this.#memory;
		const low = view.getBigUint64(AREA.bounce, true);
		const high = view.getBigUint64(AREA.bounce + 8, true);
		let divisor = view.getBigUint64(AREA.bounce + 16, true);
		let dividend = (high << 64n) | low;
		if (signed !== 0) {
			divisor = BigInt.asIntN(64, divisor);
			dividend = BigInt.asIntN(128, dividend);
		}
		const quotient = dividend / divisor;
		const kept = signed !== 0 ? BigInt.asIntN(64, quotient) : BigInt.asUintN(64, quotient);
		if (kept !== quotient) return 1;
		view.setBigUint64(AREA.bounce, BigInt.asUintN(64, quotient), true);
		view.setBigUint64(AREA.bounce + 8, BigInt.asUintN(64, dividend % divisor), true);
		return 0;
	}
}

/** Four-level paging: bits 63 to 47 are equal (SDM volume 1, 3.3.7.1). */
function canonical(address: bigint): boolean {
	return BigInt.asUintN(64, BigInt.asIntN(48, address)) === address;
}
