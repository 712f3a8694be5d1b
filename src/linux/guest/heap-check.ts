import { type Cpu, RIP, type Stop } from "../../cpu/index.js";
import type { AccessesAt } from "../../cpu/x86/index.js";
import type { Kaddr } from "../../memory/index.js";
import type { Heap } from "./heap.js";
import { runGuest } from "./run-guest.js";

interface Parts {
	readonly cpu: Cpu;
	readonly heap: Heap;
	readonly accesses: AccessesAt;
	/** `klp_check_stack_func+0x8a/0x110` */
	symbolize(address: Kaddr): string;
	/** Told of each access that is not allowed. */
	report(what: string): void;
}

/**
 * Checks the accesses of guest code to the heap, as KASAN does: each must lie in one object in use, of which only the bytes exist that
 * were asked for.
 */
export class HeapCheck {
	readonly #parts: Parts;

	constructor(parts: Parts) {
		this.#parts = parts;
		parts.cpu.memory.onForbidden = () => this.check(parts.cpu.state.kaddr(RIP));
	}

	/** As runGuest(): checks accesses before they are made. */
	run(budget: number): Stop {
		const { cpu, heap } = this.#parts;
		const { memory } = cpu;
		const before = memory.watching;
		heap.shadow();
		memory.watching = true;
		try {
			return runGuest(cpu, budget);
		} finally {
			memory.watching = before;
		}
	}

	/** Checks the instruction that runs next. */
	check(ip: Kaddr): void {
		const { accesses, report } = this.#parts;
		const { state } = this.#parts.cpu;
		for (const access of accesses.at(ip)) {
			const what = this.problem(ip, access.address(state), access.length(state), access.writes);
			if (what !== undefined) report(what);
		}
	}

	/** What is wrong with an access of the instruction at `ip`; undefined: nothing. */
	problem(ip: Kaddr, address: Kaddr, length: number, writes: boolean): string | undefined {
		const { heap } = this.#parts;
		if (!heap.contains(address) || length === 0 || heap.holds(address, length)) return undefined;
		return this.#describe(ip, address, length, writes);
	}

	/** `klp_check_stack_func+0x8a/0x110 reads 8 bytes, 88 bytes before the object of 248 bytes that klp_patch_object+0x12/0x90 allocated` */
	#describe(ip: Kaddr, address: Kaddr, length: number, writes: boolean): string {
		const { heap, symbolize } = this.#parts;
		const what = `${symbolize(ip)} ${writes ? "writes" : "reads"} ${counted(length)}`;
		if (heap.isFree(address)) return `${what} of a freed object`;
		const object = heap.nearest(address);
		if (object === undefined) return `${what} of the heap, in which no object is`;
		const { bytes, allocatedBy } = object;
		const before = object.address - address;
		const where =
			before > 0 ? `${counted(before)} before` : `${counted(address - object.address - bytes)} behind the end of`;
		const by = allocatedBy === 0 ? "" : ` that ${symbolize(allocatedBy)} has allocated`;
		return `${what}, ${where} the object of ${counted(bytes)}${by}`;
	}
}

const counted = (bytes: number) => `${bytes} byte${bytes === 1 ? "" : "s"}`;
