import { type Cpu, functionOfGate, RIP, type Stop } from "../../cpu/index.js";
import type { AccessesAt } from "../../cpu/x86/index.js";
import { type Kaddr, WATCH } from "../../memory/index.js";
import { GuestArguments } from "./arguments.js";
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
		const { cpu, report } = parts;
		cpu.memory.onForbidden = () => this.check(cpu.state.kaddr(RIP));
		cpu.memory.onGuestBuffer = (name, address, length, writes) => {
			const what = this.#problem(() => this.#hostFunction(name), address, length, writes);
			if (what !== undefined) report(what);
		};
	}

	/** As runGuest(): checks accesses before they are made. */
	run(budget: number): Stop {
		return this.#run(budget, WATCH.all);
	}

	/** The same for a task's own code, which must not become slower by it: what runs very often is not checked on every Cpu. */
	runTask(budget: number): Stop {
		return this.#run(budget, WATCH.cold);
	}

	#run(budget: number, watch: number): Stop {
		const { cpu, heap } = this.#parts;
		const { memory } = cpu;
		const before = memory.watch;
		heap.shadow();
		memory.watch = watch;
		try {
			return runGuest(cpu, budget);
		} finally {
			memory.watch = before;
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
		return this.#problem(() => this.#parts.symbolize(ip), address, length, writes);
	}

	#problem(who: () => string, address: Kaddr, length: number, writes: boolean): string | undefined {
		const { heap } = this.#parts;
		if (!heap.contains(address) || length === 0 || heap.holds(address, length)) return undefined;
		return this.#describe(who(), address, length, writes);
	}

	/** `sprintf() for show+0x1c/0x30`; the gates of a core have a prefix. */
	#hostFunction(name: string): string {
		const { cpu, symbolize } = this.#parts;
		const { caller } = new GuestArguments(cpu.memory, cpu.state);
		return `${functionOfGate(name)}() for ${symbolize(caller)}`;
	}

	/** `klp_check_stack_func+0x8a/0x110 reads 8 bytes, 88 bytes before the object of 248 bytes that klp_patch_object+0x12/0x90 allocated` */
	#describe(who: string, address: Kaddr, length: number, writes: boolean): string {
		const { heap, symbolize } = this.#parts;
		const what = `${who} ${writes ? "writes" : "reads"} ${counted(length)}`;
		if (heap.isFree(address)) return `${what} of a freed object`;
		const object = heap.nearest(address);
		if (object === undefined) return `${what} of the heap, in which no object is`;
		const { bytes, allocatedBy } = object;
		const before = object.address - address;
		const behind = address - object.address - bytes;
		const where =
			before > 0
				? `${counted(before)} before`
				: behind >= 0
					? `${counted(behind)} behind the end of`
					: `the last ${counted(length + behind)} behind the end of`;
		const by = allocatedBy === 0 ? "" : ` that ${symbolize(allocatedBy)} has allocated`;
		return `${what}, ${where} the object of ${counted(bytes)}${by}`;
	}
}

const counted = (bytes: number) => `${bytes} byte${bytes === 1 ? "" : "s"}`;
