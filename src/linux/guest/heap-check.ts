import { type Cpu, type Fault, RIP, type Stop } from "../../cpu/index.js";
import type { AccessesAt } from "../../cpu/x86/index.js";
import { isKaddr, type Kaddr, PERM, toKaddr } from "../../memory/index.js";
import type { Heap } from "./heap.js";
import { runGuest } from "./run-guest.js";

/** Accesses of so many instructions of a call are checked: a loop that goes on for longer shall not be slow. */
export const CHECKED = 200_000;

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
	}

	/** As runGuest(): checks accesses before they are made. */
	run(budget: number): Stop {
		const { cpu, heap } = this.#parts;
		// unicorn has page tables of its own.
		if (cpu.name === "unicorn") return this.#runByInstruction(budget);
		let executed = 0;
		for (;;) {
			heap.watch();
			const stop = runGuest(cpu, budget - executed);
			heap.unwatch();
			executed += stop.executed;
			if (stop.kind !== "fault" || !this.#isWatched(stop.fault)) return { ...stop, executed };
			this.check(cpu.state.kaddr(RIP));
			const next = runGuest(cpu, 1);
			executed += next.executed;
			if (next.kind !== "budget" || executed >= budget) return { ...next, executed };
		}
	}

	/** The access itself is possible: it only is not allowed. */
	#isWatched({ kind, address, access }: Fault): boolean {
		const { cpu, heap } = this.#parts;
		if (kind !== "page-fault" || address === undefined || !isKaddr(address) || !heap.contains(toKaddr(address)))
			return false;
		return (cpu.memory.permissions(address) & (access === "write" ? PERM.WRITE : PERM.READ)) !== 0;
	}

	#runByInstruction(budget: number): Stop {
		const { cpu } = this.#parts;
		const { onInstruction } = cpu;
		cpu.onInstruction = (rip) => {
			onInstruction?.(rip);
			this.check(cpu.state.kaddr(RIP));
		};
		try {
			return runGuest(cpu, budget);
		} finally {
			cpu.onInstruction = onInstruction;
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
