import type { Kaddr, Memory } from "../../memory/index.js";
import { type CallGate, type CpuState, type Gate, RCX, type StoreGate } from "../cpu.js";
import { AREA, STOP } from "./area.js";
import type { BoundGate } from "./tier1/index.js";
import { gateImport } from "./tier2/index.js";

/** As the first tier calls a gate; returns {@link STOP} to stop, else 0. */
type GateFunction = (rdi: number, rsi: number, rdx: number, rcx: number) => number;

/** The gates of a Cpu, and the functions by which translated code calls them. */
export class Gates {
	readonly #memory: Memory;
	readonly #state: CpuState;
	readonly #imports: Record<string, WebAssembly.ImportValue>;
	/** Calls a function that may look at the state of the Cpu, and change all of it but rip. */
	readonly #withState: (call: () => boolean) => boolean;
	readonly #gates: Gate[] = [];
	readonly #functions: GateFunction[] = [];
	readonly #at = new Map<Kaddr, BoundGate>();
	#thrown: { error: unknown } | undefined;

	/** Adds the functions that the second tier calls directly to `imports`. */
	constructor(
		memory: Memory,
		state: CpuState,
		imports: Record<string, WebAssembly.ImportValue>,
		withState: (call: () => boolean) => boolean,
	) {
		this.#memory = memory;
		this.#state = state;
		this.#imports = imports;
		this.#withState = withState;
	}

	/** The gate that is bound to the address now. */
	at(address: Kaddr): BoundGate | undefined {
		return this.#at.get(address);
	}

	/** The gate with the number. */
	get(index: number): Gate {
		return this.#gates[index]!;
	}

	call(index: number, rdi: number, rsi: number, rdx: number, rcx: number): number {
		return this.#functions[index]!(rdi, rsi, rdx, rcx);
	}

	/** Throws the error of the gate that stopped, if it has thrown one. */
	rethrow(): void {
		const thrown = this.#thrown;
		if (thrown === undefined) return;
		this.#thrown = undefined;
		throw thrown.error;
	}

	bind(address: Kaddr, gate: Gate): void {
		const index = this.#gates.push(gate) - 1;
		this.#at.set(address, { gate, index });
		if (gate.passes === "store") {
			const call = gate.make((error) => this.#caught(error));
			// The second tier stores the result itself.
			this.#imports[gateImport(index)] = call;
			this.#functions.push(this.#storeFunction(gate, call));
		} else {
			const call = this.#function(gate);
			if (gate.passes === "args") this.#imports[gateImport(index)] = call;
			this.#functions.push(call);
		}
	}

	unbind(address: Kaddr): void {
		this.#at.delete(address);
	}

	/** A function for each kind of gate, so that V8 inlines the calls of the hot kind. */
	#function(gate: CallGate): GateFunction {
		if (gate.passes === "args") {
			return (rdi, rsi, rdx, rcx) => {
				try {
					return gate.call(rdi, rsi, rdx, rcx) ? STOP : 0;
				} catch (error) {
					return this.#caught(error);
				}
			};
		}
		return () => {
			try {
				return this.#withState(() => gate.call(0, 0, 0, 0)) ? STOP : 0;
			} catch (error) {
				return this.#caught(error);
			}
		};
	}

	/**
	 * The first tier calls a store gate in this way: all registers are in memory. The gate must not change text or
	 * mappings. The first tier checks this; the second tier does not.
	 */
	#storeFunction({ name, takes, at }: StoreGate, call: (argument: number) => Kaddr): GateFunction {
		const memory = this.#memory;
		const state = this.#state;
		const epoch = (): number => memory.view.getUint32(AREA.epoch, true);
		return () => {
			try {
				const before = epoch();
				const result = call(state.kaddr(takes));
				if (epoch() !== before) throw new Error(`store gate '${name}' has changed text or what is mapped`);
				if (result === STOP) return STOP;
				if (result !== 0) memory.setKaddr((state.kaddr(RCX) + at) | 0, result);
				return 0;
			} catch (error) {
				return this.#caught(error);
			}
		};
	}

	/** Stops the Cpu, so that rip and the count are right when the error comes out of run(). */
	#caught(error: unknown): number {
		this.#thrown = { error };
		return STOP;
	}
}
