import { type Cpu, STATE_WORDS } from "../../cpu/index.js";
import type { AccessesAt, Semantic } from "../../cpu/x86/index.js";
import type { Image } from "../../elf/index.js";
import type { task_struct } from "../../linux/sched/index.js";
import type { Machine } from "../../machine/index.js";
import { type Kaddr, PERM } from "../../memory/index.js";
import type { SharedMemory } from "./shared-memory.js";

/** Instructions that change a word of memory and tell nobody its value, unless flags do. */
const CHANGES: ReadonlySet<Semantic> = new Set<Semantic>([
	"add",
	"sub",
	"inc",
	"dec",
	"and",
	"or",
	"xor",
	"neg",
	"not",
]);
/** Instructions that set all flags that others read. */
const SETS_FLAGS: ReadonlySet<Semantic> = new Set<Semantic>(["add", "sub", "and", "or", "xor", "cmp", "test", "neg"]);
const READS_FLAGS: ReadonlySet<Semantic> = new Set<Semantic>(["jcc", "setcc", "cmov", "adc", "sbb", "rcl", "rcr"]);
/** At calls and returns flags have no meaning. */
const LEAVES: ReadonlySet<Semantic> = new Set<Semantic>(["call", "ret", "jmp", "call_indirect", "jmp_indirect"]);
/** Compilers put a branch close behind the instruction that it is about. */
const NEAR = 8;

function imageOf({ vmlinux, modules }: Machine, address: Kaddr): Image | undefined {
	if (vmlinux.contains(address)) return vmlinux;
	for (const { image } of modules.values()) if (image.contains(address)) return image;
	return undefined;
}

/** Memory of vmlinux, of modules or of the heap that can be written. */
export function isData(machine: Machine, address: Kaddr): boolean {
	const { memory, heap } = machine;
	if ((memory.permissions(address) & PERM.WRITE) === 0) return false;
	return heap.contains(address) || imageOf(machine, address) !== undefined;
}

/** Data besides its stack that a task's own code, of vmlinux or of modules, reads and writes. */
export class TaskData {
	readonly #machine: Machine;
	readonly #cpu: Cpu;
	readonly #shared: SharedMemory;
	readonly #accesses: AccessesAt;
	/** The number of a task in {@link SharedMemory}. */
	readonly #who: (task: task_struct) => number;

	constructor(machine: Machine, shared: SharedMemory, accesses: AccessesAt, who: (task: task_struct) => number) {
		this.#machine = machine;
		this.#cpu = machine.cpu;
		this.#shared = shared;
		this.#who = who;
		this.#accesses = accesses;
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
		if (this.#imageOf(ip) === undefined) return true;
		const { state } = this.#cpu;
		let writes = false;
		for (const access of this.#accesses.at(ip)) {
			writes ||= access.writes;
			const address = access.address(state);
			const length = access.length(state);
			if (length === 0 || !isData(this.#machine, address)) continue;
			if (access.writes) this.#shared.taskWrites(address, length);
			if (!access.reads) continue;
			this.#shared.access(this.#who(task), address, length, false, false);
			this.#shared.read(address, length, true, this.#decides(ip));
		}
		return writes;
	}

	#imageOf(address: Kaddr): Image | undefined {
		return imageOf(this.#machine, address);
	}

	/**
	 * A branch that comes soon behind the read is about what was read: `cmp` or `test` with the word, or with the register that has got it,
	 * or the flags of an instruction that has changed it. `calls++`, and a sum that is only returned, decide nothing.
	 */
	#decides(ip: Kaddr): boolean {
		let at = ip;
		let instruction = this.#accesses.instructionAt(at);
		/** Registers that the value is in. */
		const holders = new Set<number>();
		let inFlags = false;
		for (let i = 0; i < NEAR && instruction !== undefined; i++) {
			const { row, operands } = instruction;
			const { semantic } = row;
			const [first] = operands;
			const uses = i === 0 || operands.some((one) => one.kind === "reg" && holders.has(one.reg));
			if (inFlags && READS_FLAGS.has(semantic)) return true;
			if (LEAVES.has(semantic)) return false;
			if (SETS_FLAGS.has(semantic) || CHANGES.has(semantic)) inFlags = uses;
			const compares = semantic === "cmp" || semantic === "test";
			if (uses && !compares && first?.kind === "reg") holders.add(first.reg);
			at = (at + instruction.length) | 0;
			instruction = this.#accesses.instructionAt(at);
		}
		return false;
	}

	/** Why the search does not know all ways of tasks: memory that tasks write is not held by states. */
	get lost(): string | undefined {
		const { lost } = this.#shared;
		if (lost === undefined) return undefined;
		return `goes on with the values of one run: code that tasks run writes ${this.nameOf(lost)}, and somebody reads it`;
	}

	/** `flag`, or `flag+0x8`; for memory of the heap its address. */
	nameOf(address: Kaddr): string {
		const hit = this.#imageOf(address)?.symbolAt(address);
		if (hit === undefined) return `the object at ${(address >>> 0).toString(16)}`;
		return hit.offset === 0 ? hit.symbol.name : `${hit.symbol.name}+0x${hit.offset.toString(16)}`;
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
