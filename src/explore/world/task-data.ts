import { KlpemuError, keyOf } from "../../base/index.js";
import { type Cpu, functionOfGate, isGateEntry, RIP, STATE_WORDS } from "../../cpu/index.js";
import type { AccessesAt } from "../../cpu/x86/index.js";
import type { Image } from "../../elf/index.js";
import type { task_struct } from "../../linux/sched/index.js";
import { LAYOUT, type Machine } from "../../machine/index.js";
import { type Kaddr, PERM } from "../../memory/index.js";
import type { Touched } from "./detour.js";
import type { SharedMemory } from "./shared-memory.js";
import { type Origin, type Origins, TaskFlow } from "./task-flow.js";
import type { TaskMove } from "./task-move.js";

function imageOf({ vmlinux, modules }: Machine, address: Kaddr): Image | undefined {
	if (vmlinux.contains(address)) return vmlinux;
	for (const { image } of modules.values()) if (image.contains(address)) return image;
	return undefined;
}

/** What they change is looked at when the move has ended (checkShared()). */
const LOOKED_AT = /alloc|free|strdup|kasprintf|get_current|work/;
const ALLOCATES = /alloc|strdup|kasprintf/;
/** A variable and functions that tell the time. */
const CLOCKS = [
	...["jiffies", "ktime_get", "ktime_get_ts64", "ktime_get_seconds"],
	...["ktime_get_real_seconds", "ktime_get_real_ts64"],
] as const;

/** Memory of vmlinux, of modules or of the heap that can be written. */
export function isData(machine: Machine, address: Kaddr): boolean {
	const { memory, heap } = machine;
	if ((memory.permissions(address) & PERM.WRITE) === 0) return false;
	return (
		heap.contains(address) || imageOf(machine, address) !== undefined || machine.percpu.ofModule(address) !== undefined
	);
}

/** Data besides its stack that a task's own code, of vmlinux or of modules, reads and writes. */
export class TaskData {
	readonly #machine: Machine;
	readonly #cpu: Cpu;
	readonly #shared: SharedMemory;
	readonly #accesses: AccessesAt;
	/** The number of a task in {@link SharedMemory}. */
	readonly #who: (task: task_struct) => number;
	readonly flow: TaskFlow;
	readonly #jiffies: Kaddr | undefined;
	/** Objects of the heap before the first one that the task has allocated in this move; undefined: it has allocated none. */
	#before: ReadonlyMap<Kaddr, number> | undefined;

	/** `ofLoop` is told that data decides which a loop has added up. */
	constructor(
		machine: Machine,
		shared: SharedMemory,
		accesses: AccessesAt,
		who: (task: task_struct) => number,
		ofLoop: (origin: Origin) => void,
	) {
		this.#machine = machine;
		this.#cpu = machine.cpu;
		this.#shared = shared;
		this.#who = who;
		this.#accesses = accesses;
		this.#jiffies = this.#addressOf("jiffies");
		shared.clock = this.#jiffies;
		shared.isNew = (address) => this.#isNew(address);
		shared.isCpuNumber = (address) => machine.percpu.isCpuNumber(address);
		shared.perCpu = (address) => machine.percpu.ofModule(address);
		this.flow = new TaskFlow(machine, shared, accesses, {
			decided(origin, ip) {
				if (origin > 0) ofLoop(origin);
				else shared.lost ??= { address: origin, ip };
			},
			isPrivate: (touched) => this.#isPrivate(machine.sched.current, touched),
		});
	}

	/** A task begins a move, with values of these origins. */
	load(task: task_struct, origins: Origins | undefined): void {
		this.#before = undefined;
		this.flow.load(task, origins);
	}

	/** The next instruction reads what an actor may write at this time. Its name; undefined: it does not. */
	pointAt(ip: Kaddr): string | undefined {
		if (this.#imageOf(ip) === undefined) return undefined;
		const { state } = this.#cpu;
		for (const access of this.#accesses.at(ip)) {
			const address = access.address(state);
			if (access.reads && this.#shared.isPoint(address, access.length(state), false, false))
				return this.nameOf(address);
		}
		return undefined;
	}

	/** Notes what the next instruction does. True: it writes memory by an operand, or it is none of vmlinux and modules. */
	note(task: task_struct, ip: Kaddr): boolean {
		const writes = this.#imageOf(ip) === undefined || this.#noteAccesses(task, ip);
		this.flow.step(ip);
		return writes;
	}

	#noteAccesses(task: task_struct, ip: Kaddr): boolean {
		const { state } = this.#cpu;
		let writes = false;
		for (const access of this.#accesses.at(ip)) {
			writes ||= access.writes;
			const { reads } = access;
			this.#noteAccess(task, {
				address: access.address(state),
				length: access.length(state),
				reads,
				writes: access.writes,
			});
		}
		return writes;
	}

	#noteAccess(task: task_struct, { address, length, reads, writes }: Touched): void {
		if (reads && (address === this.#jiffies || this.#shared.isCpuNumber(address))) this.#shared.readClock();
		if (length === 0 || !isData(this.#machine, address) || this.#isNew(address)) return;
		if (writes) this.#shared.taskWrites(address, length);
		if (!reads) return;
		this.#shared.access(this.#who(task), address, length, false, false);
		this.#shared.read(address, length, true, true);
	}

	/** What may run on a way that the task does not take counts, too. False: the search must know who takes which. */
	#isPrivate(task: task_struct, touched: Touched): boolean {
		const { address, length, reads, writes } = touched;
		const needed = (reads ? PERM.READ : 0) | (writes ? PERM.WRITE : 0);
		const { memory } = this.#machine;
		const isMapped = [address, (address + length - 1) | 0].every((at) => (memory.permissions(at) & needed) === needed);
		if (!isMapped || this.#shared.isPoint(address, length, writes, false)) return false;
		this.#noteAccess(task, touched);
		return true;
	}

	/** If the next instruction calls a host function, the result is to be called behind it. */
	beginGate(task: task_struct): (() => void) | undefined {
		const ip = this.#cpu.state.kaddr(RIP);
		if (ip < LAYOUT.gates || ip >= LAYOUT.coreScratch) return undefined;
		const machine = this.#machine;
		const gate = machine.symbols.gateAt(ip);
		if (gate === undefined || !isGateEntry(machine.memory, ip)) return undefined;
		const name = functionOfGate(gate);
		const passed = this.flow.gate(ip, name);
		if (ALLOCATES.test(name)) this.#before ??= new Map(machine.heap.objects);
		const isPlain = machine.exports.functions.some(({ plain }) => name in plain);
		if (!isPlain || LOOKED_AT.test(name)) return passed;
		const before = keyOf(machine);
		return () => {
			passed();
			if (keyOf(machine) === before) return;
			throw new KlpemuError("EXPLORE_UNSUPPORTED", `${task.comm} calls ${name}(): that cannot be explored`, {
				hint: "it changes what all tasks share, and a move of a task changes that task only; klpemu run does it",
			});
		};
	}

	/** In an object that this move allocates. It is freed before the move ends (checkShared()): what lies there at other times is another one. */
	#isNew(address: Kaddr): boolean {
		if (this.#before === undefined || !this.#machine.heap.contains(address)) return false;
		for (const [begin, bytes] of this.#before) if (address >= begin && address < begin + bytes) return false;
		return true;
	}

	#imageOf(address: Kaddr): Image | undefined {
		return imageOf(this.#machine, address);
	}

	#addressOf(symbol: string): Kaddr | undefined {
		return this.#machine.symbols.resolve(symbol);
	}

	/** Why the search does not know all ways of tasks: memory that tasks write is not held by states. */
	get lost(): Pick<TaskMove, "endless" | "entries"> {
		const { lost } = this.#shared;
		if (lost === undefined) return {};
		return { endless: this.#why(lost.address), ...(lost.ip !== undefined && { entries: [lost.ip] }) };
	}

	#why(address: Kaddr): string {
		if (this.#shared.isCpuNumber(address))
			return "goes on with the number of one CPU: it reads smp_processor_id(), and states do not hold on which CPU it is";
		const name = this.nameOf(address);
		if (this.#shared.perCpu(address) !== undefined)
			return `goes on with the values of one CPU: ${name} is a per-CPU variable that is written, and somebody reads it`;
		const clock = CLOCKS.find((one) => this.#addressOf(one) === address);
		if (clock !== undefined) return `goes on with the time of one run: it reads ${clock}, and states hold no time`;
		return `goes on with the values of one run: code that tasks run writes ${name}, and somebody reads it`;
	}

	/** `flag`, or `flag+0x8`; for memory of the heap its address. */
	nameOf(address: Kaddr): string {
		const hit = this.#imageOf(address)?.symbolAt(address) ?? this.#perCpuAt(address);
		if (hit === undefined) return `the object at ${(address >>> 0).toString(16)}`;
		return hit.offset === 0 ? hit.symbol.name : `${hit.symbol.name}+0x${hit.offset.toString(16)}`;
	}

	#perCpuAt(address: Kaddr): { readonly symbol: { readonly name: string }; readonly offset: number } | undefined {
		const { modules, percpu } = this.#machine;
		const at = percpu.ofModule(address);
		if (at === undefined) return undefined;
		const offset = at - percpu.per_cpu_offset(0);
		for (const { image } of modules.values()) {
			const symbol = image.percpu?.symbols.find((one) => offset >= one.address && offset < one.address + one.size);
			if (symbol !== undefined) return { symbol, offset: offset - symbol.address };
		}
		return undefined;
	}
}

/** Instructions until a move is looked at for turns of a loop that are alike. */
const QUIET = 1024;

/**
 * A loop that waits for memory to change: its turns leave registers as they were, and write nothing. All of them are one state of the task,
 * at the lowest address of the loop.
 */
export class SpinLoop {
	readonly #cpu: Cpu;
	#executed = 0;
	#next = QUIET;
	readonly #anchor = new BigUint64Array(STATE_WORDS);
	#anchorIp: Kaddr = 0;
	#lowest: Kaddr = 0;
	#isSpinning = false;

	constructor(cpu: Cpu) {
		this.#cpu = cpu;
	}

	/** To be called before each instruction. True: the move can end here. `wrote`: the one before has written memory. */
	isTurn(ip: Kaddr, wrote: boolean): boolean {
		if (this.#isSpinning) return ip === this.#lowest;
		if (++this.#executed < QUIET) return false;
		if (this.#executed >= this.#next || wrote) {
			// Twice as far each time, so that long loops are found, too.
			if (this.#executed >= this.#next) this.#next *= 2;
			this.#anchor.set(this.#cpu.state.words);
			this.#anchorIp = ip;
			this.#lowest = ip;
			return false;
		}
		this.#lowest = Math.min(this.#lowest, ip);
		if (ip !== this.#anchorIp) return false;
		const { words } = this.#cpu.state;
		this.#isSpinning = this.#anchor.every((word, i) => word === words[i]);
		return this.#isSpinning && ip === this.#lowest;
	}

	/** Its instructions have not begun to repeat yet: the place to go back to from a loop without an end. */
	get isQuiet(): boolean {
		return this.#executed === QUIET;
	}
}
