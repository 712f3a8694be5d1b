import { KlpemuError, restoreObjects, type SavedObjects, saveObjects } from "../base/index.js";
import type { Kaddr } from "../memory/index.js";
import { PAGE_SIZE, PERM, type Region, type SavedMemory, toU64 } from "../memory/index.js";
import { LAYOUT } from "./layout.js";
import type { Machine } from "./machine.js";

/** What {@link saveMachine} gives. */
export interface SavedMachine {
	readonly objects: SavedObjects;
	readonly memory: SavedMemory;
	/** The registers of the Cpu. */
	readonly words: BigUint64Array;
	/** The fentry sites that the Cpu knows. */
	readonly sites: readonly Kaddr[];
}

export interface SaveOptions {
	/** Leaves out what is on the stacks of tasks: the caller puts it back, with the registers. Default: false. */
	readonly withoutStacks?: boolean;
}

/**
 * All that may change in a machine between two operations: what its classes declare as state, guest memory, and registers. Not
 * while kernel code in TypeScript is in the middle of something: what a generator remembers cannot be saved. Throws
 * `SNAPSHOT_BUSY`.
 */
export function saveMachine(machine: Machine, options: SaveOptions = {}): SavedMachine {
	for (const task of machine.sched.all()) {
		if (task.inHost !== undefined) throw busy(`task '${task.comm}' is in a kernel function in TypeScript`);
	}
	const stacks = new Set(options.withoutStacks ? [...machine.sched.all()].map((task) => task.stack) : []);
	// Of the data only what has been handed out: the rest is a quarter of a megabyte of zeroes.
	const used = Math.ceil((machine.areas.nextOps - LAYOUT.data) / PAGE_SIZE) * PAGE_SIZE;
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

function busy(why: string): KlpemuError {
	return new KlpemuError("SNAPSHOT_BUSY", `the machine cannot be saved now: ${why}`, {
		hint: "let it run until that is through",
	});
}

/** Makes a machine what it was when it was saved, and tells the Cpu what is another now. */
export function restoreMachine(machine: Machine, saved: SavedMachine): void {
	const { cpu, ftrace, memory } = machine;
	const gone = new Set(ftrace.records.keys());
	restoreObjects(saved.objects);
	memory.restore(saved.memory, (address, length) => {
		if (memory.permissions(address) & PERM.EXEC) cpu.textChanged(address, length);
	});
	for (const site of saved.sites) if (!gone.delete(site)) cpu.addCallSite(site);
	for (const site of gone) cpu.removeCallSite(site);
	cpu.state.words.set(saved.words);
}
