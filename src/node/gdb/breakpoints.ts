import type { Kaddr } from "../../memory/index.js";
import type { Watchpoint } from "./watchpoints.js";

const KINDS: ReadonlyMap<string, Watchpoint["kind"]> = new Map([
	["2", "write"],
	["3", "read"],
	["4", "access"],
]);
/** More, or longer ones, are refused: a client that sends them without end must not fill memory. */
const MAX_POINTS = 10_000;
const MAX_LENGTH = 4096;

/** The breakpoints and watchpoints of a client. The guest's memory is not changed for them. */
export class Breakpoints {
	readonly #code = new Set<Kaddr>();
	readonly #watched = new Map<string, Watchpoint>();

	/** By `Z` and its type. False: it is not possible. */
	insert(type: string, address: Kaddr, length: number): boolean {
		if (this.#code.size + this.#watched.size >= MAX_POINTS) return false;
		if (type === "0" || type === "1") {
			this.#code.add(address);
			return true;
		}
		const kind = KINDS.get(type);
		if (kind === undefined || length === 0 || length > MAX_LENGTH) return false;
		this.#watched.set(`${type} ${address} ${length}`, { kind, address, length });
		return true;
	}

	remove(type: string, address: Kaddr, length: number): void {
		if (type === "0" || type === "1") this.#code.delete(address);
		else this.#watched.delete(`${type} ${address} ${length}`);
	}

	isAt(ip: Kaddr): boolean {
		return this.#code.has(ip);
	}

	get watchpoints(): readonly Watchpoint[] {
		return [...this.#watched.values()];
	}
}
