import type { Kaddr } from "../../memory/index.js";

/**
 * An access is of one of four kinds: 2 if it writes, plus 1 if it is made with klp_mutex held. Two accesses to one byte are in conflict if
 * they are made by two actors or tasks, one of them writes, and not both hold the mutex.
 */
const KINDS = 4;
/** Letters of the kinds, for points. */
const LETTERS = "rRwW";
const inConflict = (a: number, b: number) => ((a | b) & 2) !== 0 && (a & b & 1) === 0;

/** Nobody has made such an access; several have. Otherwise the number of the only one. */
const NOBODY = -1;
const SEVERAL = -2;

const kindOf = (writes: boolean, locked: boolean) => (writes ? 2 : 0) + (locked ? 1 : 0);

/** Which kinds of accesses to which bytes are in conflict with one of somebody else. What is found takes effect with `begin()`. */
export class Conflicts {
	/** By byte: who makes an access of each kind. */
	readonly #users = new Map<Kaddr, Int32Array>();
	/** By byte: bits of the kinds that are in conflict. */
	readonly #found = new Map<Kaddr, number>();
	#now: ReadonlyMap<Kaddr, number> = new Map();
	/** Accesses that are known, so that most calls end quickly. */
	readonly #known = new Set<number>();

	/** Notes an access. True if it is found to be in conflict, and was not known to be. */
	add(who: number, address: Kaddr, length: number, writes: boolean, locked: boolean): boolean {
		const kind = kindOf(writes, locked);
		// 32 bits of address, 4 of length, 2 of kind: 1024 actors and tasks.
		const key = ((address >>> 0) * 16 + Math.min(length, 15)) * (KINDS * 1024) + kind * 1024 + who;
		if (length < 15 && this.#known.has(key)) return false;
		this.#known.add(key);
		let grown = false;
		for (let byte = address; byte < address + length; byte++) if (this.#use(who, byte, kind)) grown = true;
		return grown;
	}

	#use(who: number, byte: Kaddr, kind: number): boolean {
		let users = this.#users.get(byte);
		if (users === undefined) {
			users = new Int32Array(KINDS).fill(NOBODY);
			this.#users.set(byte, users);
		}
		if (users[kind] === NOBODY) users[kind] = who;
		else if (users[kind] !== who) users[kind] = SEVERAL;
		let bits = this.#found.get(byte) ?? 0;
		const before = bits;
		for (let other = 0; other < KINDS; other++) {
			const by = users[other]!;
			if (by === NOBODY || !inConflict(kind, other) || (by === who && users[kind] === who)) continue;
			bits |= (1 << kind) | (1 << other);
		}
		if (bits === before) return false;
		this.#found.set(byte, bits);
		return true;
	}

	begin(): void {
		this.#now = new Map(this.#found);
	}

	isPoint(address: Kaddr, length: number, writes: boolean, locked: boolean): boolean {
		const now = this.#now;
		if (now.size === 0) return false;
		const bit = 1 << kindOf(writes, locked);
		for (let byte = address; byte < address + length; byte++) {
			const bits = now.get(byte);
			if (bits !== undefined && bits & bit) return true;
		}
		return false;
	}

	/**
	 * `801591d8+8:rW`: of the 8 bytes from there on (the lower half of an address, in hexadecimal), reads without the mutex and writes with
	 * it; capital letters: with the mutex.
	 */
	points(): string[] {
		const points: string[] = [];
		const bytes = [...this.#now.keys()].sort((a, b) => a - b);
		for (let i = 0; i < bytes.length; ) {
			const start = bytes[i]!;
			const bits = this.#now.get(start)!;
			let length = 1;
			while (bytes[i + length] === start + length && this.#now.get(start + length) === bits) length++;
			const kinds = [...LETTERS].filter((_, kind) => bits & (1 << kind));
			points.push(`${(start >>> 0).toString(16)}+${length}:${kinds.join("")}`);
			i += length;
		}
		return points;
	}

	/** A point of an earlier exploration; a word without its kinds, from an old one: all of them. False: it is none of memory. */
	addPoint(point: string): boolean {
		const [, start, length = "8", kinds = LETTERS] = /^([0-9a-f]{8})(?:\+(\d+):([rRwW]+))?$/.exec(point) ?? [];
		if (start === undefined) return false;
		const from = Number.parseInt(start, 16) | 0;
		const bits = [...kinds].reduce((sum, letter) => sum | (1 << LETTERS.indexOf(letter)), 0);
		for (let i = 0; i < Number(length); i++) this.#found.set(from + i, (this.#found.get(from + i) ?? 0) | bits);
		return true;
	}
}
