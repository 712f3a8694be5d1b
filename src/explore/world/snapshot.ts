import { Dmesg, Printer } from "../../linux/lib/index.js";
import { Executor, Sched, task_struct } from "../../linux/sched/index.js";
import { LAYOUT, type Machine } from "../../machine/index.js";
import { Memory, PAGE_SIZE, PERM, type Region, type SavedMemory, toU64 } from "../../memory/index.js";
import { ObjectGraph, restoreGraph, type SavedGraph, type Special } from "../graph.js";

/** A machine as it was, but for its tasks. */
export interface SavedMachine {
	readonly graph: SavedGraph;
	readonly memory: SavedMemory;
	/** Call sites that the Cpu knows. */
	readonly sites: readonly number[];
}

/** Saves a machine and puts it back. The states of its tasks are the business of {@link World}. */
export class MachineSnapshots {
	readonly #machine: Machine;
	readonly #graph: ObjectGraph;

	constructor(machine: Machine) {
		this.#machine = machine;
		this.#graph = new ObjectGraph([machine], special);
	}

	/** Two machines with the same key are alike, but for their tasks. */
	key(): string {
		return this.#graph.key();
	}

	save(): SavedMachine {
		const machine = this.#machine;
		const stacks = new Set([...machine.sched.all()].map((task) => task.stack));
		// Of the data only what has been handed out: the rest is a quarter of a megabyte of zeroes.
		const used = Math.ceil((machine.areas.nextOps - LAYOUT.data) / PAGE_SIZE) * PAGE_SIZE;
		const content = (region: Region) => {
			if (stacks.has(region)) return 0;
			return region.address === toU64(LAYOUT.data) ? used : region.length;
		};
		return {
			graph: this.#graph.save(),
			memory: machine.memory.save(content),
			sites: [...machine.ftrace.records.keys()],
		};
	}

	restore(saved: SavedMachine): void {
		const machine = this.#machine;
		const sites = new Set(machine.ftrace.records.keys());
		machine.text_poke.queue = [];
		machine.text_poke.bp_desc = [];
		restoreGraph(saved.graph);
		machine.memory.restore(saved.memory, (address, length) => {
			if (machine.memory.permissions(address) & PERM.EXEC) machine.cpu.textChanged(address, length);
		});
		for (const site of saved.sites) if (!sites.delete(site)) machine.cpu.addCallSite(site);
		for (const site of sites) machine.cpu.removeCallSite(site);
		// Its list of sites in order is made anew when it is asked for.
		machine.ftrace.ftrace_process_locs("", [], 0);
	}
}

/** Objects that are not walked field by field: what is no state, what is somewhere else, what only names count of. */
function special(value: object): Special | undefined {
	if (value instanceof task_struct) return { name: `task ${value.comm}`, fields: ["stack"] };
	if ("unload" in value && "loaded" in value) return { name: "image", fields: ["name", "base", "loaded"] };
	if (value instanceof Sched) return { name: "sched", fields: ["tasks", "nextPid", "cpus"] };
	if (value instanceof Executor) return { name: "executor", fields: ["nextStack", "freeStacks"] };
	if (value instanceof Memory || value instanceof Dmesg || value instanceof Printer) return { name: "-" };
	// A Cpu's state is memory and registers; environments are functions, and designs never change.
	const other =
		"addGate" in value || ["select_step", "kallsyms", "templates"].some((name) => Object.hasOwn(value, name));
	return other ? { name: "-" } : undefined;
}
