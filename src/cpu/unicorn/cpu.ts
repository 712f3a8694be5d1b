import { type Kaddr, type Memory, type MemoryListener, type Region, toU64 } from "../../memory/index.js";
import { type Cpu, CpuState, type Fault, type Gate, RCX, RDI, RDX, RSI, type Stop } from "../cpu.js";
import { MEM, REGISTER_IDS, UC_ERR_INSN_INVALID, type UnicornEngine } from "./engine.js";

const ARGUMENTS = [RDI, RSI, RDX, RCX] as const;

/** The reference Cpu: Unicorn, one hook per instruction, which makes counts and budgets exact by construction. */
export class UnicornCpu implements Cpu {
	readonly name = "unicorn";
	readonly memory: Memory;
	readonly state = new CpuState();
	onInstruction: ((rip: bigint) => void) | undefined = undefined;

	readonly #engine: UnicornEngine;
	readonly #gates = new Map<bigint, Gate>();
	readonly #breakpoints = new Set<bigint>();
	readonly #listener: MemoryListener;
	readonly #argumentIds = Int32Array.from(ARGUMENTS, (register) => REGISTER_IDS[register]!);
	readonly #arguments = new BigUint64Array(ARGUMENTS.length);

	#budget = 0;
	#executed = 0;
	/** The instruction that is executing, or has just been. */
	#current = 0n;
	#resumed = 0n;
	#stop: Stop | undefined = undefined;
	/** A gate that needs the whole state, which is only complete outside of the engine's run. */
	#gate: Gate | undefined = undefined;
	#failedAccess: { readonly type: number; readonly address: bigint } | undefined = undefined;
	#thrown: { readonly error: unknown } | undefined = undefined;

	constructor(memory: Memory, engine: UnicornEngine) {
		this.memory = memory;
		this.#engine = engine;
		this.#listener = {
			mapped: (region) => this.#map(region),
			unmapped: (region) => engine.unmap(region.address, region.length),
			protectionChanged: (region) => engine.protect(region.address, region.length, region.perm),
		};
		memory.listen(this.#listener);
		engine.hookCode((address) => this.#beforeInstruction(address), 1n, 0n);
		engine.hookInterrupt((number) => this.#interrupt(number));
		engine.hookMemoryInvalid((type, address) => {
			this.#failedAccess = { type, address };
		});
	}

	#map(region: Region): void {
		const { offset, length } = region;
		this.#engine.map(region.address, this.memory.bytes.subarray(offset, offset + length), region.perm);
	}

	run(budget: number): Stop {
		this.#budget = budget;
		this.#executed = 0;
		this.#stop = undefined;
		this.#resumed = this.state.rip;
		for (;;) {
			if (this.#executed >= budget) return { kind: "budget", executed: this.#executed };
			const stop = this.#runOnce();
			if (stop !== undefined) return stop;
		}
	}

	/** One stretch inside the engine. Undefined: a gate was dealt with, go on. */
	#runOnce(): Stop | undefined {
		this.#failedAccess = undefined;
		this.#gate = undefined;
		this.#engine.regWrite(REGISTER_IDS, this.state.words);
		const error = this.#engine.start(this.state.rip);
		this.#engine.regRead(REGISTER_IDS, this.state.words);
		if (this.#thrown !== undefined) {
			const { error: thrown } = this.#thrown;
			this.#thrown = undefined;
			this.#stop = undefined;
			this.state.rip = this.#current + 1n;
			throw thrown;
		}
		if (this.#stop !== undefined) {
			this.state.rip = this.#current;
			if (this.#stop.kind === "gate") this.state.rip++;
			return this.#stop;
		}
		if (this.#gate !== undefined) return this.#callStateGate(this.#gate);
		return { kind: "fault", executed: this.#executed, fault: this.#fault(error) };
	}

	#callStateGate(gate: Gate): Stop | undefined {
		this.#executed++;
		this.state.rip = this.#current + 1n;
		this.#resumed = this.state.rip;
		return gate.call(0, 0, 0, 0) ? { kind: "gate", executed: this.#executed, gate } : undefined;
	}

	/** The hook: decides whether the instruction at `address` may run. */
	#beforeInstruction(address: bigint): void {
		if (this.#stop !== undefined || this.#gate !== undefined || this.#thrown !== undefined) return;
		this.#current = address;
		if (this.#executed >= this.#budget) {
			this.#end({ kind: "budget", executed: this.#executed });
			return;
		}
		if (this.#breakpoints.has(address) && (address !== this.#resumed || this.#executed > 0)) {
			this.#end({ kind: "breakpoint", executed: this.#executed, address });
			return;
		}
		try {
			this.onInstruction?.(address);
			const gate = this.#gates.get(address);
			if (gate !== undefined) {
				this.#reached(gate);
				return;
			}
		} catch (error) {
			this.#thrown = { error };
			this.#engine.stop();
			return;
		}
		this.#executed++;
	}

	#reached(gate: Gate): void {
		if (gate.passes === "state") {
			this.#gate = gate;
			this.#engine.stop();
			return;
		}
		const values = this.#arguments;
		this.#engine.regRead(this.#argumentIds, values);
		const low = (index: number) => Number(BigInt.asIntN(32, values[index]!));
		const stop = this.#engine.sync(() => gate.call(low(0), low(1), low(2), low(3)));
		this.#executed++;
		if (stop) this.#end({ kind: "gate", executed: this.#executed, gate });
	}

	#end(stop: Stop): void {
		this.#stop = stop;
		this.#engine.stop();
	}

	#interrupt(number: number): void {
		// The hook has counted the instruction, but it did not complete.
		this.#executed--;
		this.#end({ kind: "fault", executed: this.#executed, fault: { kind: interruptKind(number) } });
	}

	#fault(error: number): Fault {
		const access = this.#failedAccess;
		if (access === undefined) {
			this.#executed--;
			this.state.rip = this.#current;
			if (error === UC_ERR_INSN_INVALID) return { kind: "invalid-opcode", detail: this.#bytesAt(this.#current) };
			return { kind: "general-protection", detail: `Unicorn error ${error}` };
		}
		if (!canonical(access.address)) {
			// Unicorn looks such an address up like any other; the processor refuses it (SDM volume 1, 3.3.7.1).
			if (access.address === this.state.rip) return { kind: "general-protection", detail: "non-canonical rip" };
			this.#executed--;
			this.state.rip = this.#current;
			return { kind: "general-protection", detail: "non-canonical address" };
		}
		const fetch = access.type === MEM.FETCH_UNMAPPED || access.type === MEM.FETCH_PROT;
		if (fetch) return { kind: "page-fault", address: access.address, access: "fetch" };
		this.#executed--;
		this.state.rip = this.#current;
		const write = access.type === MEM.WRITE_UNMAPPED || access.type === MEM.WRITE_PROT;
		return { kind: "page-fault", address: access.address, access: write ? "write" : "read" };
	}

	#bytesAt(rip: bigint): string {
		const page = 4096 - Number(rip & 0xfffn);
		return [...this.memory.read(rip, Math.min(15, page))].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
	}

	addGate(address: Kaddr, gate: Gate): void {
		this.#gates.set(toU64(address), gate);
	}
	removeGate(address: Kaddr): void {
		this.#gates.delete(toU64(address));
	}
	addBreakpoint(address: bigint): void {
		this.#breakpoints.add(address);
	}
	removeBreakpoint(address: bigint): void {
		this.#breakpoints.delete(address);
	}
	/** Call sites need nothing here: a poke drops what was translated, as any other change of text. */
	addCallSite(): void {}
	removeCallSite(): void {}

	textChanged(address: Kaddr | bigint, length: number): void {
		const start = typeof address === "bigint" ? address : toU64(address);
		this.#engine.removeCache(start, start + BigInt(length));
	}

	close(): void {
		this.memory.unlisten(this.#listener);
		this.#engine.close();
	}
}

/** Bits 63 to 47 are all the same. */
function canonical(address: bigint): boolean {
	return BigInt.asIntN(48, address) === BigInt.asIntN(64, address);
}

/** Exception vectors, SDM volume 3, table 6-1. */
function interruptKind(vector: number): Fault["kind"] {
	switch (vector) {
		case 0:
			return "divide-error";
		case 3:
			return "breakpoint";
		case 6:
			return "invalid-opcode";
		case 14:
			return "page-fault";
		default:
			return "general-protection";
	}
}
