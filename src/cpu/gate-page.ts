import { KlpemuError } from "../base/index.js";
import { type Kaddr, type Memory, PAGE_SIZE, PERM } from "../memory/index.js";
import { type Cpu, GATE_BYTES, type Gate } from "./cpu.js";

const GATE_SIZE = 16;

/** A page of gates: host functions that look like ordinary kernel symbols to guest code. */
export class GatePage {
	readonly #memory: Memory;
	readonly #cpu: Cpu;
	readonly base: Kaddr;
	readonly #addresses = new Map<string, Kaddr>();

	constructor(memory: Memory, cpu: Cpu, base: Kaddr) {
		this.#memory = memory;
		this.#cpu = cpu;
		this.base = base;
		memory.map("gates", base, PAGE_SIZE, PERM.READ | PERM.EXEC);
	}

	/** Binds a gate to the next free address. Throws `GATE_PAGE_FULL`, `GATE_DUPLICATE`. */
	add(gate: Gate): Kaddr {
		if (this.#addresses.has(gate.name))
			throw new KlpemuError("GATE_DUPLICATE", `there is a gate '${gate.name}' already`);
		const address = (this.base + this.#addresses.size * GATE_SIZE) | 0;
		if (address >= this.base + PAGE_SIZE) throw new KlpemuError("GATE_PAGE_FULL", `no room for gate '${gate.name}'`);
		this.#memory.write(address, Uint8Array.from(GATE_BYTES));
		this.#cpu.addGate(address, gate);
		this.#cpu.textChanged(address, GATE_BYTES.length);
		this.#addresses.set(gate.name, address);
		return address;
	}

	find(name: string): Kaddr | undefined {
		return this.#addresses.get(name);
	}

	/** The gate whose two bytes hold `ip`. */
	nameAt(ip: Kaddr): string | undefined {
		for (const [name, address] of this.#addresses) if (ip >= address && ip < address + GATE_BYTES.length) return name;
		return undefined;
	}

	entries(): IterableIterator<[string, Kaddr]> {
		return this.#addresses.entries();
	}
}
