import { accessesOf, decodeBytes, RIP, RSP } from "../../cpu/index.js";
import type { Machine } from "../../machine/index.js";
import { type Kaddr, toKaddr, toU64 } from "../../memory/index.js";
import type { Reason } from "./capture.js";

/** Bytes that are watched. */
export interface Watchpoint {
	/** `write`: a change of the bytes. `read`, `access`: also an instruction that reads them. */
	readonly kind: "write" | "read" | "access";
	readonly address: Kaddr;
	readonly length: number;
}

const KEYS = { write: "watch", read: "rwatch", access: "awatch" } as const;
/** Bytes of the longest instruction. */
const LONGEST = 15;

/** Looks at the watched bytes before each instruction. */
export class Watcher {
	readonly #machine: Machine;
	readonly #watchpoints: readonly Watchpoint[];
	#before: Uint8Array[] = [];
	/** What the instruction that comes next reads, as far as it is watched. */
	#reads: readonly Watchpoint[] = [];

	constructor(machine: Machine, watchpoints: readonly Watchpoint[]) {
		this.#machine = machine;
		this.#watchpoints = watchpoints;
	}

	begin(): void {
		this.#before = this.#watchpoints.map((one) => this.#bytes(one));
		this.#reads = this.#watchpoints.filter((one) => one.kind !== "write" && this.#isRead(one));
	}

	/** The watchpoint that was hit since the last call, or since begin(). */
	hit(): Reason | undefined {
		const changed = this.#watchpoints.find((one, index) => {
			return one.kind !== "read" && !same(this.#before[index]!, this.#bytes(one));
		});
		const found = changed ?? this.#reads[0];
		this.begin();
		return found && { key: KEYS[found.kind], value: toU64(found.address).toString(16) };
	}

	#bytes({ address, length }: Watchpoint): Uint8Array {
		const { memory } = this.#machine;
		const bytes = new Uint8Array(length);
		for (let i = 0; i < length; i++) {
			const at = (address + i) | 0;
			if (memory.permissions(at) !== 0) bytes[i] = memory.u8(at);
		}
		return bytes;
	}

	#isRead({ address, length }: Watchpoint): boolean {
		const { memory, cpu } = this.#machine;
		const { state } = cpu;
		const rip = state.words[RIP]!;
		const bytes: number[] = [];
		for (let at = toKaddr(rip); bytes.length < LONGEST && memory.permissions(at) !== 0; at = (at + 1) | 0) {
			bytes.push(memory.u8(at));
		}
		const decoded = decodeBytes(Uint8Array.from(bytes), rip);
		if (!("row" in decoded)) return false;
		const overlaps = (from: Kaddr, bytes: number) => from < address + length && address < from + bytes;
		const pops = /^(pop|ret|leave)/.test(decoded.row.semantic);
		if (pops && overlaps(state.kaddr(RSP), 8)) return true;
		return accessesOf(decoded).some((one) => one.reads && overlaps(one.address(state), one.length(state)));
	}
}

function same(a: Uint8Array, b: Uint8Array): boolean {
	return a.every((byte, index) => byte === b[index]);
}
