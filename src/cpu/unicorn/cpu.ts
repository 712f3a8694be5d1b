import {
	type Kaddr,
	type Memory,
	type MemoryListener,
	PAGE_SIZE,
	PERM,
	type Region,
	toU64,
} from "../../memory/index.js";
import {
	ARGUMENT_REGISTERS,
	type CallGate,
	type Cpu,
	CpuState,
	type Fault,
	type Gate,
	RFLAGS,
	RSP,
	type Stop,
} from "../cpu.js";
import { decodeBytes, MAX_INSTRUCTION_BYTES } from "../x86/index.js";
import { COUNTER, NO_ADDRESS } from "./counter.js";
import { type EngineHook, MEM, REGISTER_IDS, UC_ERR_INSN_INVALID, type UnicornEngine } from "./engine.js";
import { canonical, interruptFault, nonCanonical } from "./faults.js";

/** The end address of a run that has no other: not canonical, so that nothing can be executed there. */
const NEVER = 1n << 63n;
const PAGE_MASK = ~BigInt(PAGE_SIZE - 1);
/** A budget without end, in instructions. */
const NO_LIMIT = 1n << 62n;
/** {@link FLAG}, TF and the bit that is always set; the engine uses other bits of rflags for itself. */
const FLAGS_MASK = 0x247fd7n;

interface ReachedGate {
	readonly gate: CallGate;
	readonly called: boolean;
}

function rethrow(error: unknown): never {
	throw error;
}

/**
 * The reference Cpu: Unicorn, with a counting hook before each instruction (counter.ts) and hooks at gates and
 * breakpoints.
 */
export class UnicornCpu implements Cpu {
	readonly name = "unicorn";
	readonly memory: Memory;
	readonly state = new CpuState();

	readonly #engine: UnicornEngine;
	readonly #counter: BigUint64Array;
	readonly #gates = new Map<bigint, Gate>();
	readonly #storeFunctions = new WeakMap<Gate, (argument: number) => Kaddr>();
	/** One hook for all the gates of a page. */
	readonly #gatePages = new Map<bigint, EngineHook>();
	readonly #breakpoints = new Map<bigint, EngineHook>();
	readonly #listener: MemoryListener;
	readonly #argumentIds = Int32Array.from(ARGUMENT_REGISTERS, (register) => REGISTER_IDS[register]!);
	readonly #arguments = new BigUint64Array(ARGUMENT_REGISTERS.length);
	#onInstruction: ((rip: bigint) => void) | undefined = undefined;
	#instructionHook: EngineHook | undefined = undefined;
	/** One function, however often it is hooked: callbacks of native code are few. */
	/** Instructions begun when an access of one was last told. */
	#told = -1n;
	readonly #eachInstruction = this.#hooked((address) => {
		if (this.#gates.has(address) || this.#stopsAt(address)) return;
		this.#tellInstruction(address);
	});

	/** Address at which the run began: a breakpoint there does not stop it. */
	#resumed = NO_ADDRESS;
	#breakpoint: bigint | undefined = undefined;
	/** The gate that stopped the engine, and whether it has been called already. */
	#gate: ReachedGate | undefined = undefined;
	#interrupt: number | undefined = undefined;
	#failedAccess: { readonly type: number; readonly address: bigint } | undefined = undefined;
	#thrown: { readonly error: unknown } | undefined = undefined;
	#closed = false;

	constructor(memory: Memory, engine: UnicornEngine) {
		this.memory = memory;
		this.#engine = engine;
		this.#listener = {
			mapped: (region) => this.#map(region),
			unmapped: (region) => this.#unmap(region),
			protectionChanged: (region) => engine.protect(region.address, region.length, region.perm),
		};
		memory.listen(this.#listener);
		this.#counter = engine.hookCounter();
		engine.hookInterrupt((number) => {
			this.#interrupt = number;
			engine.stop();
		});
		engine.hookMemoryInvalid((type, address) => {
			this.#failedAccess = { type, address: BigInt.asUintN(64, address) };
		});
		const { shadow } = memory;
		if (shadow !== undefined) engine.hookForbidden((address, size) => this.#accesses(address, size), shadow);
	}

	/** The build of Unicorn, for messages. */
	get description(): string {
		return this.#engine.description;
	}

	#map(region: Region): void {
		const { offset, length } = region;
		this.#engine.map(region.address, this.memory.bytes.subarray(offset, offset + length), region.perm);
	}

	#unmap(region: Region): void {
		this.#engine.unmap(region.address, region.length);
	}

	run(budget: number): Stop {
		const counter = this.#counter;
		counter[COUNTER.count] = 0n;
		counter[COUNTER.limit] = Number.isFinite(budget) ? BigInt(budget) : NO_LIMIT;
		this.#resumed = this.state.rip;
		this.#told = -1n;
		this.#breakpoint = undefined;
		// Unicorn runs privileged instructions too. All state of an earlier run that is not in `state` must be cleared.
		this.#engine.forgetException();
		for (;;) {
			if (counter[COUNTER.count]! >= counter[COUNTER.limit]!) return this.#stopped("budget");
			const stop = this.#runOnce();
			if (stop !== undefined) return stop;
		}
	}

	#stopped(kind: "budget"): Stop {
		return { kind, executed: Number(this.#counter[COUNTER.count]!) };
	}

	/** One stretch inside the engine. Undefined: the run goes on, because the reason for the stop has been handled. */
	#runOnce(until = NEVER): Stop | undefined {
		const { state } = this;
		const counter = this.#counter;
		this.#failedAccess = undefined;
		this.#interrupt = undefined;
		this.#gate = undefined;
		counter[COUNTER.current] = NO_ADDRESS;
		counter[COUNTER.stopped] = 0n;
		this.#engine.regWrite(REGISTER_IDS, state.words);
		const error = this.#engine.start(state.rip, until);
		this.#engine.regRead(REGISTER_IDS, state.words);
		state.words[RFLAGS]! &= FLAGS_MASK;
		if (this.#thrown !== undefined) this.#rethrow(this.#thrown.error);
		if (this.#breakpoint !== undefined) return this.#atBreakpoint(this.#breakpoint);
		const gate = this.#gate as ReachedGate | undefined;
		if (gate !== undefined) return this.#atGate(gate);
		if (counter[COUNTER.stopped] === 1n) return this.#stopped("budget");
		if (error === 0 && this.#interrupt === undefined && state.rip === until) {
			return until === NEVER ? this.#badBranch() : undefined;
		}
		return this.#atFault(error);
	}

	/** Takes back the count of the last instruction, which was begun but not completed. */
	#uncount(): number {
		return Number(--this.#counter[COUNTER.count]!);
	}

	#rethrow(error: unknown): never {
		this.#thrown = undefined;
		// An error of a gate comes after its nop, an error of onInstruction before its instruction.
		if (this.#gates.has(this.#counter[COUNTER.current]!)) this.state.rip = this.#counter[COUNTER.current]! + 1n;
		throw error;
	}

	#atBreakpoint(address: bigint): Stop {
		this.state.rip = address;
		return { kind: "breakpoint", executed: this.#uncount(), address };
	}

	#atGate({ gate, called }: ReachedGate): Stop | undefined {
		this.state.rip = this.#counter[COUNTER.current]! + 1n;
		const executed = Number(this.#counter[COUNTER.count]!);
		if (called) return { kind: "gate", executed, gate };
		this.#resumed = NO_ADDRESS;
		return gate.call(0, 0, 0, 0) ? { kind: "gate", executed, gate } : undefined;
	}

	#atFault(error: number): Stop | undefined {
		const access = this.#failedAccess;
		const fetch = access !== undefined && (access.type === MEM.FETCH_UNMAPPED || access.type === MEM.FETCH_PROT);
		if (!fetch || this.#interrupt !== undefined) {
			const current = this.#counter[COUNTER.current]!;
			// No instruction was begun: the first one could not be fetched or decoded.
			const executed = current === NO_ADDRESS ? Number(this.#counter[COUNTER.count]!) : this.#uncount();
			if (current !== NO_ADDRESS) this.state.rip = current;
			return { kind: "fault", executed, fault: this.#fault(error, access) };
		}
		const limit = this.#firstToFetch(access.address);
		if (limit !== this.state.rip) {
			// The engine looked ahead, and a whole block failed: run up to the instruction that fails.
			this.#engine.removeCache(this.state.rip, limit + BigInt(MAX_INSTRUCTION_BYTES));
			const stop = this.#runOnce(limit);
			this.#engine.removeCache(limit, limit + BigInt(MAX_INSTRUCTION_BYTES));
			return stop;
		}
		if (!canonical(access.address)) return this.#badBranch();
		const executed = Number(this.#counter[COUNTER.count]!);
		return { kind: "fault", executed, fault: { kind: "page-fault", address: access.address, access: "fetch" } };
	}

	/**
	 * A branch to a non-canonical address fails by itself (SDM volume 2, CALL, JMP, RET): undoes the part that Unicorn has
	 * executed.
	 */
	#badBranch(): Stop {
		const fault: Fault = { kind: "general-protection" };
		const branch = this.#counter[COUNTER.current]!;
		if (branch === NO_ADDRESS) return { kind: "fault", executed: Number(this.#counter[COUNTER.count]!), fault };
		this.state.rip = branch;
		const decoded = decodeBytes(this.#codeAt(branch), branch);
		if ("row" in decoded && decoded.row.semantic === "call_indirect") this.state.words[RSP]! += 8n;
		if ("row" in decoded && decoded.row.semantic === "ret") {
			const [operand] = decoded.operands;
			this.state.words[RSP]! -= 8n + (operand?.kind === "imm" ? operand.value : 0n);
		}
		return { kind: "fault", executed: this.#uncount(), fault };
	}

	/** The first instruction at or after rip that needs bytes of the page of `missing`; rip itself if that is elsewhere. */
	#firstToFetch(missing: bigint): bigint {
		const { rip } = this.state;
		const page = missing & PAGE_MASK;
		if (rip >= page || page - rip > BigInt(PAGE_SIZE)) return rip;
		for (let at = rip; ; ) {
			const decoded = decodeBytes(this.#codeAt(at), at);
			// Bytes that cannot be decoded: they need the page that is missing, or they fail by themselves.
			if (!("length" in decoded)) return at;
			const next = at + BigInt(decoded.length);
			if (next > page) return at;
			if (next === page) return page;
			at = next;
		}
	}

	#fault(error: number, access: { readonly type: number; readonly address: bigint } | undefined): Fault {
		if (this.#interrupt !== undefined) return interruptFault(this.#interrupt);
		if (access !== undefined) {
			if (!canonical(access.address)) {
				const { rip } = this.state;
				return nonCanonical(decodeBytes(this.#codeAt(rip), rip), this.state, access.address);
			}
			const write = access.type === MEM.WRITE_UNMAPPED || access.type === MEM.WRITE_PROT;
			return { kind: "page-fault", address: access.address, access: write ? "write" : "read" };
		}
		const bytes = [...this.#codeAt(this.state.rip)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
		if (error === UC_ERR_INSN_INVALID || error === 0) return { kind: "invalid-opcode", detail: bytes };
		return { kind: "general-protection", detail: `Unicorn error ${error} at ${bytes}` };
	}

	/** The bytes at an address, as many as an instruction can have and as can be fetched. */
	#codeAt(address: bigint): Uint8Array {
		const page = PAGE_SIZE - Number(address & BigInt(PAGE_SIZE - 1));
		const fetchable = (at: bigint) => (this.memory.permissions(at) & PERM.EXEC) !== 0;
		if (!fetchable(address)) return new Uint8Array(0);
		const length = page < MAX_INSTRUCTION_BYTES && !fetchable(address + BigInt(page)) ? page : MAX_INSTRUCTION_BYTES;
		return this.memory.read(address, length);
	}

	/** An access to memory with a shadow. An instruction that makes several is told of once. */
	#accesses(address: bigint, size: number): void {
		const { memory, state } = this;
		const at = this.#counter[COUNTER.current]!;
		const count = this.#counter[COUNTER.count]!;
		if (this.#stopping() || this.#told === count || !memory.isForbidden(address, size)) return;
		this.#told = count;
		try {
			this.#engine.regRead(REGISTER_IDS, state.words);
			state.rip = at;
			this.#engine.sync(() => memory.onForbidden());
		} catch (error) {
			this.#thrown = { error };
			this.#engine.stop();
		}
	}

	/** True in a hook if the engine will stop before this instruction anyway. */
	#stopping(): boolean {
		return (
			this.#counter[COUNTER.stopped] === 1n ||
			this.#breakpoint !== undefined ||
			this.#gate !== undefined ||
			this.#thrown !== undefined
		);
	}

	#hooked(call: (address: bigint) => void): (address: bigint) => void {
		return (given) => {
			if (this.#stopping()) return;
			try {
				call(BigInt.asUintN(64, given));
			} catch (error) {
				this.#thrown = { error };
				this.#engine.stop();
			}
		};
	}

	#reached(address: bigint): void {
		const gate = this.#gates.get(address);
		if (gate === undefined) return;
		// The instruction hook leaves gates to this one: Unicorn calls hooks in the order in which they were made.
		this.#tellInstruction(address);
		if (gate.passes === "state") {
			this.#gate = { gate, called: false };
			this.#engine.stop();
			return;
		}
		const values = this.#arguments;
		this.#engine.regRead(this.#argumentIds, values);
		const low = (index: number) => Number(BigInt.asIntN(32, values[index]!));
		if (gate.passes === "store") {
			this.#engine.sync(() => {
				const result = this.#storeFunctions.get(gate)!(low(ARGUMENT_REGISTERS.indexOf(gate.takes)));
				if (result !== 0) this.memory.setKaddr((low(3) + gate.at) | 0, result);
			});
			return;
		}
		if (!this.#engine.sync(() => gate.call(low(0), low(1), low(2), low(3)))) return;
		this.#gate = { gate, called: true };
		this.#engine.stop();
	}

	addGate(address: Kaddr, gate: Gate): void {
		const at = toU64(address);
		this.#gates.set(at, gate);
		if (gate.passes === "store") this.#storeFunctions.set(gate, gate.make(rethrow));
		const page = at & PAGE_MASK;
		if (this.#gatePages.has(page)) return;
		const hook = this.#engine.hookCode(
			this.#hooked((reached) => this.#reached(reached)),
			page,
			page + BigInt(PAGE_SIZE - 1),
		);
		this.#gatePages.set(page, hook);
	}

	removeGate(address: Kaddr): void {
		const at = toU64(address);
		this.#gates.delete(at);
		const page = at & PAGE_MASK;
		if ([...this.#gates.keys()].some((other) => (other & PAGE_MASK) === page)) return;
		this.#gatePages.get(page)?.remove();
		this.#gatePages.delete(page);
	}

	addBreakpoint(address: bigint): void {
		if (this.#breakpoints.has(address)) return;
		const reached = this.#hooked(() => {
			if (!this.#stopsAt(address)) return;
			this.#breakpoint = address;
			this.#engine.stop();
		});
		this.#breakpoints.set(address, this.#engine.hookCode(reached, address, address));
	}

	/** With all registers in `state`, as the other Cpu does it. */
	#tellInstruction(address: bigint): void {
		if (this.#onInstruction === undefined) return;
		const { words } = this.state;
		this.#engine.regRead(REGISTER_IDS, words);
		words[RFLAGS]! &= FLAGS_MASK;
		this.state.rip = address;
		this.#engine.sync(() => this.#onInstruction?.(address));
	}

	/** There is a breakpoint, and the run has not begun there. */
	#stopsAt(address: bigint): boolean {
		const begun = address === this.#resumed && this.#counter[COUNTER.count] === 1n;
		return this.#breakpoints.has(address) && !begun;
	}

	removeBreakpoint(address: bigint): void {
		this.#breakpoints.get(address)?.remove();
		this.#breakpoints.delete(address);
	}

	get onInstruction(): ((rip: bigint) => void) | undefined {
		return this.#onInstruction;
	}

	set onInstruction(call: ((rip: bigint) => void) | undefined) {
		this.#onInstruction = call;
		if (call === undefined) {
			// A closed engine has freed its hooks.
			if (!this.#closed) this.#instructionHook?.remove();
			this.#instructionHook = undefined;
			return;
		}
		this.#instructionHook ??= this.#engine.hookCode(this.#eachInstruction, 1n, 0n);
	}

	/** Does nothing: a poke at a call site drops translations, as any other change of text. */
	addCallSite(): void {}
	removeCallSite(): void {}

	textChanged(address: Kaddr | bigint, length: number): void {
		if (length === 0) return;
		const start = typeof address === "bigint" ? address : toU64(address);
		this.#engine.removeCache(start, start + BigInt(length));
	}

	/** The engine is closed only once: it would free its memory twice. */
	close(): void {
		if (this.#closed) return;
		this.#closed = true;
		this.memory.unlisten(this.#listener);
		this.#engine.close();
	}
}
