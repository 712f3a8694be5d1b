import { KlpemuError } from "../base/index.js";
import { type Kaddr, type Memory, PAGE_SIZE, PERM } from "../memory/index.js";
import { type Cpu, GATE_BYTES, type Gate } from "./cpu.js";

/** Bytes from one gate to the next. */
export const GATE_SIZE = 16;

/** Bytes for gates: 512 of them. */
const SIZE = 2 * PAGE_SIZE;

/** Address of the gate with a given number. */
export function gateAddress(base: Kaddr, index: number): Kaddr {
	return (base + index * GATE_SIZE) | 0;
}

/** The kernel function of a gate: the gates of a compiled core have a prefix. */
export const functionOfGate = (name: string): string => name.replace(/^.*:/, "");

/** A gate's function is called at its first byte; behind it is its return. */
export const isGateEntry = (memory: Memory, ip: Kaddr): boolean => memory.u8(ip) === GATE_BYTES[0];

/** The pages of gates: host functions that look like ordinary kernel symbols to guest code. */
export class GatePage {
	readonly #memory: Memory;
	readonly #cpu: Cpu;
	readonly base: Kaddr;
	readonly #addresses = new Map<string, Kaddr>();
	/** By the gate's place in the page. */
	readonly #names: string[] = [];
	readonly #reserved: readonly string[];
	/** Gates outside of the reserved places. */
	#others = 0;

	/**
	 * `reserved`: names of gates that have the first places, so that code which calls them can be assembled before they
	 * are bound.
	 */
	constructor(memory: Memory, cpu: Cpu, base: Kaddr, reserved: readonly string[] = []) {
		this.#reserved = reserved;
		this.#memory = memory;
		this.#cpu = cpu;
		this.base = base;
		memory.map("gates", base, SIZE, PERM.READ | PERM.EXEC);
	}

	/** Binds a gate to its reserved address, or to the next free one. Throws `GATE_PAGE_FULL`, `GATE_DUPLICATE`. */
	add(gate: Gate): Kaddr {
		if (this.#addresses.has(gate.name))
			throw new KlpemuError("GATE_DUPLICATE", `there is a gate '${gate.name}' already`);
		const reserved = this.#reserved.indexOf(gate.name);
		const index = reserved < 0 ? this.#reserved.length + this.#others : reserved;
		const address = gateAddress(this.base, index);
		if (address >= this.base + SIZE) throw new KlpemuError("GATE_PAGE_FULL", `no room for gate '${gate.name}'`);
		this.#memory.write(address, Uint8Array.from(GATE_BYTES));
		this.#cpu.addGate(address, gate);
		this.#cpu.textChanged(address, GATE_BYTES.length);
		this.#addresses.set(gate.name, address);
		this.#names[index] = gate.name;
		if (reserved < 0) this.#others++;
		return address;
	}

	/** The address of a gate that is bound or has a reserved place. Throws `GATE_UNKNOWN`. */
	address(name: string): Kaddr {
		const bound = this.#addresses.get(name);
		const reserved = this.#reserved.indexOf(name);
		if (bound === undefined && reserved < 0) throw new KlpemuError("GATE_UNKNOWN", `there is no gate '${name}'`);
		return bound ?? gateAddress(this.base, reserved);
	}

	/** The names of all gates that are bound. */
	names(): Iterable<string> {
		return this.#addresses.keys();
	}

	find(name: string): Kaddr | undefined {
		return this.#addresses.get(name);
	}

	/** The gate whose two bytes hold `ip`. The unwinder asks for each frame. */
	nameAt(ip: Kaddr): string | undefined {
		const offset = ip - this.base;
		if (offset < 0 || offset >= SIZE || offset % GATE_SIZE >= GATE_BYTES.length) return undefined;
		return this.#names[Math.floor(offset / GATE_SIZE)];
	}
}
