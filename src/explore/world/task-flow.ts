import { type Cpu, RAX, RBP, RSP, STATE_WORDS } from "../../cpu/index.js";
import { type AccessesAt, type DataFlow, dataFlowOf, FLAGS, type Instruction } from "../../cpu/x86/index.js";
import { THREAD_SIZE, type task_struct } from "../../linux/sched/index.js";
import type { Machine } from "../../machine/index.js";
import type { Kaddr } from "../../memory/index.js";
import { accessesOn, detourOf, type Touched } from "./detour.js";
import type { SharedMemory } from "./shared-memory.js";

/**
 * Where a value comes from: a negative number is the address of a byte that tasks write, a positive one is the number of a loop that adds up
 * (TaskStates.decided()); 0: from nothing that states do not hold.
 */
export type Origin = Kaddr;

/** The origins of the values in a task's registers, and in the bytes of its stack by their distance from the stack's top. */
export interface Origins {
	readonly registers: readonly Origin[];
	readonly stack: readonly (readonly [distance: number, Origin])[];
}

const WORD = 8;
/** Registers of the arguments of a call (System V ABI): rdi, rsi, rdx, rcx, r8, r9. */
const ARGUMENTS = [7, 6, 2, 1, 8, 9];

/** What a flow tells, and asks. */
interface Asked {
	/** A value of this origin decides something at `ip`. */
	decided(origin: Origin, ip: Kaddr): void;
	/** The task may make this access or not, and nobody else sees it at once. */
	isPrivate(touched: Touched): boolean;
}

/** A detour that a task is on, and the origin of the value that has sent it on one way or the other. */
interface Taken {
	readonly join: Kaddr;
	readonly registers: readonly number[];
	readonly stores: readonly Touched[];
	readonly origin: Origin;
}

/**
 * Follows the values that a task reads from words that tasks write: states do not hold them. Wherever they go, through registers, flags,
 * the stack, calls, from one move to the next: if such a value decides where the task goes or what it accesses, `decided` is called. A branch
 * whose ways meet again decides only what data there is ({@link detourOf}): all data that is written on them has its origin.
 */
export class TaskFlow {
	readonly #machine: Machine;
	readonly #cpu: Cpu;
	readonly #shared: SharedMemory;
	readonly #accesses: AccessesAt;
	readonly #ask: Asked;
	readonly #flows = new WeakMap<Instruction, DataFlow>();
	/** Of registers, and of flags. */
	readonly #registers = new Int32Array(FLAGS + 1);
	/** Of the bytes of the stack, by address. */
	readonly #stack = new Map<Kaddr, Origin>();
	/** Some value may have an origin. */
	isLive = false;
	#low: Kaddr = 0;
	#top: Kaddr = 0;
	/** Detours that the task is on, from the outermost one. */
	#taken: Taken[] = [];
	/** The registers before a gate. */
	readonly #before = new BigUint64Array(STATE_WORDS);

	constructor(machine: Machine, shared: SharedMemory, accesses: AccessesAt, ask: Asked) {
		this.#machine = machine;
		this.#cpu = machine.cpu;
		this.#shared = shared;
		this.#accesses = accesses;
		this.#ask = ask;
	}

	/** A task begins a move. */
	load({ stack }: task_struct, origins: Origins | undefined): void {
		this.#registers.fill(0);
		this.#stack.clear();
		this.#taken = [];
		this.isLive = origins !== undefined;
		this.#low = stack === undefined ? 0 : Number(BigInt.asIntN(32, stack.address));
		this.#top = this.#low + THREAD_SIZE;
		if (origins === undefined) return;
		this.#registers.set(origins.registers);
		for (const [distance, origin] of origins.stack) this.#stack.set(this.#top - distance, origin);
	}

	/** Of the values that the task keeps; undefined: none has an origin. */
	save({ mode, regs }: task_struct): Origins | undefined {
		if (!this.isLive || mode !== "kernel") return undefined;
		const lowest = regs.kaddr(RSP);
		const stack = [...this.#stack].filter(([at, origin]) => origin !== 0 && at >= lowest);
		if (stack.length === 0 && this.#registers.every((origin) => origin === 0)) return undefined;
		stack.sort(([a], [b]) => a - b);
		return { registers: [...this.#registers], stack: stack.map(([at, origin]) => [this.#top - at, origin]) };
	}

	/** To be called before each instruction. */
	step(ip: Kaddr): void {
		if (!this.isLive && !this.#shared.hasSources) return;
		while (this.#taken.at(-1)?.join === ip) this.#join(this.#taken.pop()!);
		const instruction = this.#accesses.instructionAt(ip);
		if (instruction === undefined) return;
		let flow = this.#flows.get(instruction);
		if (flow === undefined) {
			flow = dataFlowOf(instruction);
			this.#flows.set(instruction, flow);
		}
		const read = this.#readBy(ip, instruction, flow);
		const decides = this.#ofRegisters(flow.decide) || (flow.memoryDecides ? read : 0);
		if (decides !== 0 && !this.#detours(ip, instruction, decides)) this.#ask.decided(decides, ip);
		const origin = this.#ofRegisters(flow.inputs) || read;
		this.#write(ip, instruction, flow, origin);
		if (origin !== 0 && (flow.sets.includes(RSP) || flow.changes.includes(RSP))) this.#ask.decided(origin, ip);
		for (const register of flow.sets) this.#registers[register] = origin;
		if (origin === 0) return;
		this.isLive = true;
		for (const register of flow.changes) this.#registers[register] ||= origin;
	}

	/** The value decides between two ways that meet again, and nothing else. */
	#detours(ip: Kaddr, { row }: Instruction, origin: Origin): boolean {
		const detour = row.semantic === "jcc" ? detourOf(ip, this.#accesses) : undefined;
		if (detour === undefined) return false;
		const registers = new Set<number>();
		const deciding = new Set<number>();
		for (const { instruction } of detour.instructions) {
			const { sets, changes, decide } = dataFlowOf(instruction);
			for (const register of [...sets, ...changes]) registers.add(register);
			for (const register of decide) if (register !== FLAGS) deciding.add(register);
		}
		if (registers.has(RSP)) return false;
		for (const register of deciding) if (registers.has(register) || this.#registers[register] !== 0) return false;
		const touched = accessesOn(detour, this.#cpu.state);
		for (const one of touched) if (!this.#isOwn(one.address) && !this.#ask.isPrivate(one)) return false;
		const stores = touched.filter(({ writes }) => writes);
		this.#taken.push({ join: detour.join, registers: [...registers], stores, origin });
		return true;
	}

	/** What was written on a detour, or would have been, depends on what has decided. */
	#join({ registers, stores, origin }: Taken): void {
		for (const register of registers) this.#registers[register] ||= origin;
		for (const { address, length } of stores) this.#store(address, length, origin, true);
	}

	#ofRegisters(registers: readonly number[]): Origin {
		for (const register of registers) if (this.#registers[register] !== 0) return this.#registers[register]!;
		return 0;
	}

	/** Of the memory that an instruction reads. */
	#readBy(ip: Kaddr, { size }: Instruction, { stack }: DataFlow): Origin {
		const { state } = this.#cpu;
		let origin = 0;
		for (const access of this.#accesses.at(ip)) {
			if (access.reads) origin ||= this.#ofMemory(access.address(state), access.length(state));
		}
		if (stack === "pop") origin ||= this.#ofMemory(state.kaddr(RSP), size / 8);
		if (stack === "leave") origin ||= this.#ofMemory(state.kaddr(RBP), WORD);
		return origin;
	}

	#isOwn(address: Kaddr): boolean {
		return address >= this.#low && address < this.#top;
	}

	#ofMemory(address: Kaddr, length: number): Origin {
		if (!this.#isOwn(address)) return this.#shared.sourceAt(address, length);
		for (let at = address; at < address + length; at++) {
			const origin = this.#stack.get(at);
			if (origin !== undefined) return origin;
		}
		return 0;
	}

	#write(ip: Kaddr, { size, row }: Instruction, flow: DataFlow, origin: Origin): void {
		const { state } = this.#cpu;
		for (const access of this.#accesses.at(ip)) {
			if (access.writes) this.#store(access.address(state), access.length(state), origin, flow.setsMemory);
		}
		if (flow.stack !== "push") return;
		const isCall = row.branch;
		const bytes = isCall ? WORD : size / 8;
		this.#store((state.kaddr(RSP) - bytes) | 0, bytes, isCall ? 0 : origin, true);
	}

	/** Other memory than the own stack is what tasks write: who reads it, finds it there. */
	#store(address: Kaddr, length: number, origin: Origin, isWhole: boolean): void {
		if (!this.#isOwn(address)) return;
		for (let at = address; at < address + length; at++) {
			if (origin !== 0) this.#stack.set(at, origin);
			else if (isWhole) this.#stack.delete(at);
		}
	}

	/** TypeScript has written memory. */
	hostWrites(address: Kaddr, length: number): void {
		if (this.#stack.size > 0) this.#store(address, length, 0, true);
	}

	/** The host function behind the gate at `ip` is about to run; the result is to be called when it has. */
	gate(ip: Kaddr, name: string): () => void {
		if (!this.isLive && name !== "ktime_get") return () => {};
		const { memory } = this.#machine;
		const { state } = this.#cpu;
		this.#before.set(state.words);
		memory.onArgument = (index) => {
			const origin = this.#ofArgument(index);
			if (origin !== 0 && !this.#isPrinted(name, index)) this.#ask.decided(origin, ip);
		};
		return () => {
			memory.onArgument = undefined;
			for (let i = 0; i < FLAGS; i++) if (state.words[i] !== this.#before[i]) this.#registers[i] = 0;
			if (name !== "ktime_get") return;
			this.#registers[RAX] = ip;
			this.isLive = true;
		};
	}

	#ofArgument(index: number): Origin {
		const register = ARGUMENTS[index];
		if (register !== undefined) return this.#registers[register]!;
		return this.#ofMemory((this.#cpu.state.kaddr(RSP) + WORD * (index - ARGUMENTS.length + 1)) | 0, WORD);
	}

	/** A number that is only printed: the log is no part of the state. */
	#isPrinted(name: string, index: number): boolean {
		if (!/^_?printk$/.test(name) || index === 0) return false;
		const format = this.#cpu.state.kaddr(ARGUMENTS[0]!);
		return !/%[^%a-z]*[sp]/i.test(this.#textAt(format));
	}

	#textAt(address: Kaddr): string {
		const { memory } = this.#machine;
		let text = "";
		for (let at = address; memory.permissions(at) !== 0 && memory.u8(at) !== 0; at++)
			text += String.fromCharCode(memory.u8(at));
		return text;
	}
}
