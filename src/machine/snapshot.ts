import { KlpemuError, restoreObjects, type SavedObjects, saveObjects } from "../base/index.js";
import type { Kaddr } from "../memory/index.js";
import { PAGE_SIZE, PERM, type Region, type SavedMemory, toU64 } from "../memory/index.js";
import { LAYOUT } from "./layout.js";
import type { Machine } from "./machine.js";

/** Result of {@link saveMachine}. */
export interface SavedMachine {
	readonly objects: SavedObjects;
	readonly memory: SavedMemory;
	/** The registers of the Cpu. */
	readonly words: BigUint64Array;
	/** The fentry sites that the Cpu knows. */
	readonly sites: readonly Kaddr[];
}

export interface SaveOptions {
	/** Leaves out the contents of the tasks' stacks: the caller restores them, with the registers. Default: false. */
	readonly withoutStacks?: boolean;
}

/**
 * All state of a machine that may change between two operations: the declared state of its classes, guest memory, and
 * registers. Not possible while kernel code in TypeScript is in progress: the state of a generator cannot be saved.
 * Throws `SNAPSHOT_BUSY`.
 */
export function saveMachine(machine: Machine, options: SaveOptions = {}): SavedMachine {
	if (machine.busy) throw busy("kernel code is in progress");
	for (const task of [...machine.sched.all(), ...machine.sched.exiting]) {
		if (task.inHost !== undefined) throw busy(`task '${task.comm}' is in a kernel function that is TypeScript`);
	}
	const { sched } = machine;
	const tasks = [...sched.all(), ...sched.exiting];
	const stacks = new Set(options.withoutStacks ? tasks.map((task) => task.stack) : []);
	const used = usedData(machine);
	const content = (region: Region) => {
		if (stacks.has(region)) return 0;
		return region.address === toU64(LAYOUT.data) ? used : region.length;
	};
	return {
		objects: saveObjects(machine),
		memory: machine.memory.save(content),
		words: machine.cpu.state.words.slice(),
		sites: [...machine.ftrace.records.keys()],
	};
}

/** Bytes of the data area that have been allocated, in whole pages: the rest is a quarter of a megabyte of zeroes. */
function usedData(machine: Machine): number {
	return Math.ceil((machine.areas.nextOps - LAYOUT.data) / PAGE_SIZE) * PAGE_SIZE;
}

function busy(why: string): KlpemuError {
	return new KlpemuError("SNAPSHOT_BUSY", `a machine cannot be saved or restored now: ${why}`);
}

/** Restores the saved state of a machine, and tells the Cpu about changed memory. Throws `SNAPSHOT_BUSY`. */
export function restoreMachine(machine: Machine, saved: SavedMachine): void {
	if (machine.busy) throw busy("kernel code is in progress");
	const { cpu, ftrace, icache, memory } = machine;
	const gone = new Set(ftrace.records.keys());
	const written = usedData(machine);
	// Fields of a task may lie in memory that is mapped only now.
	memory.restore(saved.memory, (address, length) => {
		if (memory.permissions(address) & PERM.EXEC) icache.flush_icache_range(address, length);
	});
	restoreObjects(saved.objects);
	const used = usedData(machine);
	if (written > used) memory.write((LAYOUT.data + used) | 0, new Uint8Array(written - used));
	for (const site of saved.sites) if (!gone.delete(site)) cpu.addCallSite(site);
	for (const site of gone) cpu.removeCallSite(site);
	cpu.state.words.set(saved.words);
}
