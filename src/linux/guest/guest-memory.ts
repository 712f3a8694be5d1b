import { KlpemuError } from "../../base/index.js";
import type { Fault } from "../../cpu/index.js";
import { hex, isKaddr, type Kaddr, type Memory, PAGE_SIZE, PERM, toKaddr, toU64 } from "../../memory/index.js";

/**
 * A host function has used a pointer of guest code in a way that the guest's own access would not survive. The task takes that fault.
 */
export class GuestFault extends KlpemuError {
	readonly fault: Fault;

	constructor(fault: Fault, reason: string) {
		super("GUEST_FAULT", reason);
		this.fault = fault;
	}
}

/** The fault of an access to `address`. */
function faultAt(address: bigint, access: "read" | "write"): GuestFault {
	const at = BigInt.asUintN(64, address);
	// Not canonical: the upper 17 bits are not all the same.
	if (BigInt.asIntN(48, at) !== BigInt.asIntN(64, at)) {
		return new GuestFault({ kind: "general-protection" }, `${access} at ${hex(at)}, which is not canonical`);
	}
	return new GuestFault({ kind: "page-fault", address: at, access }, `${access} at ${hex(at)}`);
}

/** A pointer of the guest: 0 for NULL. Throws {@link GuestFault} for one that leads out of the kernel window. */
export function toPointer(value: bigint): Kaddr {
	if (value === 0n) return 0;
	if (!isKaddr(value)) throw faultAt(value, "read");
	return toKaddr(value);
}

/**
 * Guest memory as host functions access it for guest code, by addresses that come from guest code: each access asks for the
 * permissions of its pages, and throws {@link GuestFault} where the Cpu would fault. So nothing changes text here, and no Cpu has to be
 * told of a change; text_poke() is the only way to do that.
 */
export class GuestMemory {
	readonly #memory: Memory;

	constructor(memory: Memory) {
		this.#memory = memory;
	}

	#check(address: bigint, length: number, access: "read" | "write"): void {
		const wanted = access === "read" ? PERM.READ : PERM.WRITE;
		const end = address + BigInt(length);
		for (let at = address; at < end; at = (at & ~BigInt(PAGE_SIZE - 1)) + BigInt(PAGE_SIZE)) {
			if ((this.#memory.permissions(at) & wanted) === 0) throw faultAt(at, access);
		}
	}

	/** The same without 64-bit arithmetic, for an access that lies in two pages at most. */
	#isPermitted(address: Kaddr, length: number, wanted: number): boolean {
		const memory = this.#memory;
		const last = (address + length - 1) | 0;
		return (
			length <= PAGE_SIZE && last >= address && (memory.permissions(address) & memory.permissions(last) & wanted) !== 0
		);
	}

	#readable(address: Kaddr, length: number): Kaddr {
		if (!this.#isPermitted(address, length, PERM.READ)) this.#check(toU64(address), length, "read");
		this.#memory.onGuestRead?.(address, length);
		return address;
	}

	#writable(address: Kaddr, length: number): Kaddr {
		if (!this.#isPermitted(address, length, PERM.WRITE)) this.#check(toU64(address), length, "write");
		return address;
	}

	/** Throws `GUEST_FAULT` unless the range can be written. */
	checkWritable(address: Kaddr, length: number): void {
		this.#writable(address, length);
	}

	/** Permissions of the page; 0 where nothing is mapped. */
	permissions(address: Kaddr | bigint): number {
		return this.#memory.permissions(address);
	}

	/** A text or a buffer, whose length comes from guest code. */
	#buffer(address: Kaddr, length: number, writes: boolean): void {
		const { hostFunction, shadow } = this.#memory;
		if (hostFunction === undefined || !shadow?.contains(address)) return;
		this.#memory.onGuestBuffer(hostFunction, address, length, writes);
	}

	u8(address: Kaddr): number {
		return this.#memory.u8(this.#readable(address, 1));
	}
	u32(address: Kaddr): number {
		return this.#memory.u32(this.#readable(address, 4));
	}
	u64(address: Kaddr): bigint {
		return this.#memory.u64(this.#readable(address, 8));
	}
	/** The pointer that is stored there. */
	kaddr(address: Kaddr): Kaddr {
		const memory = this.#memory;
		const place = memory.wordAt(address, PERM.READ);
		if (place < 0) return toPointer(this.u64(address));
		// Without 64-bit arithmetic: walks through lists read little else.
		memory.onGuestRead?.(address, 8);
		const low = memory.words[place]!;
		const high = memory.words[place + 1]!;
		return (high === -1 && low < 0) || (low | high) === 0 ? low : toPointer(memory.u64(address));
	}
	/** The same for a word that the engine itself has stored: it leads into the kernel. */
	ownKaddr(address: Kaddr): Kaddr {
		return this.#memory.kaddr(this.#readable(address, 8));
	}
	read(address: Kaddr, length: number): Uint8Array {
		return this.#memory.read(this.#readable(address, length), length);
	}

	/** The same for an address that may lie outside of the kernel window. */
	bytes(address: bigint, length: number): Uint8Array {
		this.#check(BigInt.asUintN(64, address), length, "read");
		if (isKaddr(address)) this.#buffer(toKaddr(address), length, false);
		return this.#memory.read(address, length);
	}

	setU8(address: Kaddr, value: number): void {
		this.#memory.setU8(this.#writable(address, 1), value);
	}
	setU32(address: Kaddr, value: number): void {
		this.#memory.setU32(this.#writable(address, 4), value);
	}
	setU64(address: Kaddr, value: bigint): void {
		this.#memory.setU64(this.#writable(address, 8), value);
	}
	setKaddr(address: Kaddr, value: Kaddr): void {
		this.#memory.setKaddr(this.#writable(address, 8), value);
	}
	write(address: Kaddr, data: Uint8Array): void {
		this.#writable(address, data.length);
		this.#buffer(address, data.length, true);
		this.#memory.write(address, data);
	}

	/** The text at an address, up to its NUL, or `most` bytes of it. */
	string(address: bigint, most = Number.POSITIVE_INFINITY): string {
		const { bytes } = this.#memory;
		const parts: Uint8Array[] = [];
		let left = most;
		for (let at = BigInt.asUintN(64, address); left > 0; ) {
			const size = Math.min(left, PAGE_SIZE - Number(at & 0xfffn));
			this.#check(at, 1, "read");
			// In place: most texts are much shorter than the rest of their page.
			const offset = this.#memory.offset(at);
			const rest = bytes.subarray(offset, offset + size);
			const end = rest.indexOf(0);
			if (isKaddr(at)) {
				const length = end < 0 ? size : end + 1;
				this.#memory.onGuestRead?.(toKaddr(at), length);
				this.#buffer(toKaddr(at), length, false);
			}
			parts.push(end < 0 ? rest : rest.subarray(0, end));
			if (end >= 0) break;
			at += BigInt(size);
			left -= size;
		}
		const [only] = parts;
		// Nearly all texts; a decoder takes longer to make than to use.
		if (parts.length === 1 && isAscii(only!)) return String.fromCharCode(...only!);
		const decoder = new TextDecoder();
		return parts.map((part) => decoder.decode(part, { stream: true })).join("") + decoder.decode();
	}
}

function isAscii(text: Uint8Array): boolean {
	for (const byte of text) if (byte >= 0x80) return false;
	return true;
}
