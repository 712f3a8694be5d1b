import { type Kaddr, toU64 } from "../../../memory/index.js";
import type { RegionInstruction } from "../tier1/index.js";

/** The largest number of targets of one indirect jump that get a comparison. */
const MAX_TARGETS = 3;

/** The most instructions that a round of a loop may have. */
const MAX_ROUND = 128;

/** Counts of earlier recordings are divided by this: the latest recording describes the present targets best. */
const OUTDATED = 4;

/** The addresses to which an indirect jump went, and how often. */
type Targets = Map<Kaddr, number>;

/** The record of a stretch of hot code, an instruction at a time: which code ran, and where its indirect jumps went. */
export class Profile {
	readonly seen = new Set<Kaddr>();
	readonly #targets = new Map<Kaddr, Targets>();
	/** Returns that did not go back to their call, for example the return of a redirected ftrace trampoline. */
	readonly #redirects = new Map<Kaddr, Targets>();

	/** Targets of an indirect jump or call, a call site, or a return whose call is not known; most frequent first. */
	targets(address: bigint): bigint[] {
		return byFrequency(this.#targets.get(Number(BigInt.asIntN(32, address))));
	}

	/** The addresses to which a return can go, if its call pushed `expected`. */
	returns(address: bigint, expected: bigint): bigint[] {
		const key = Number(BigInt.asIntN(32, address));
		const redirects = byFrequency(this.#redirects.get(key));
		const known = this.#targets.get(key);
		if (known === undefined || known.has(Number(BigInt.asIntN(32, expected)))) redirects.push(expected);
		return redirects;
	}

	/** Adds a later profile, whose counts weigh more; false if it changes nothing. */
	merge(later: Profile): boolean {
		const known = this.seen.size;
		for (const address of later.seen) this.seen.add(address);
		let news = this.seen.size !== known;
		for (const [from, to] of [
			[later.#targets, this.#targets],
			[later.#redirects, this.#redirects],
		] as const) {
			for (const [address, targets] of from) {
				const before = byFrequency(to.get(address));
				for (const [target, n] of to.get(address) ?? []) to.get(address)!.set(target, n / OUTDATED);
				for (const [target, n] of targets) count(to, address, target, n);
				const after = byFrequency(to.get(address));
				news ||= after[0] !== before[0] || after.some((target) => !before.includes(target));
			}
		}
		return news;
	}

	went(address: Kaddr, target: Kaddr): void {
		count(this.#targets, address, target, 1);
	}
	redirected(address: Kaddr, target: Kaddr): void {
		count(this.#redirects, address, target, 1);
	}
}

function count(map: Map<Kaddr, Targets>, address: Kaddr, target: Kaddr, n: number): void {
	const targets = map.get(address) ?? new Map<Kaddr, number>();
	map.set(address, targets);
	targets.set(target, (targets.get(target) ?? 0) + n);
}

function byFrequency(targets: Targets | undefined): bigint[] {
	const sorted = [...(targets ?? [])].sort(([a, n], [b, m]) => m - n || a - b);
	return sorted.slice(0, MAX_TARGETS).map(([target]) => toU64(target));
}

/** The path of a running program. */
export class Recorder {
	readonly #rip: Kaddr[] = [];
	readonly #rsp: number[] = [];
	/** Indices in the path at which the recording was interrupted: the next instruction may belong to another task. */
	readonly #breaks = new Set<number>();

	readonly #length: number;

	constructor(length: number) {
		this.#length = length;
	}

	/** Adds an instruction; true if the recording is then complete. */
	add(rip: Kaddr, rsp: Kaddr): boolean {
		this.#rip.push(rip);
		this.#rsp.push(rsp);
		return this.#rip.length >= this.#length;
	}

	interrupted(): void {
		this.#breaks.add(this.#rip.length);
	}

	/** The profile, and the best root for a translation, if there is a loop. */
	finish(instruction: (address: Kaddr) => RegionInstruction | undefined): {
		profile: Profile;
		root: Kaddr | undefined;
	} {
		const profile = new Profile();
		const heads = new Map<Kaddr, { count: number; loop: boolean; rsp: number }>();
		let calls: Kaddr[] = [];
		for (let n = 0; n + 1 < this.#rip.length; n++) {
			const [from, to] = [this.#rip[n]!, this.#rip[n + 1]!];
			profile.seen.add(from);
			if (this.#breaks.has(n + 1)) {
				calls = [];
				continue;
			}
			const entry = instruction(from);
			if (entry === undefined) continue;
			const next = (from + entry.length) | 0;
			learn(profile, entry, calls, from, to);
			// A string instruction that repeats itself is no loop that the second tier could run.
			const repeats = to === from && entry.kind === "plain" && entry.instruction.row.string;
			if (to === next || repeats || this.#rsp[n] !== this.#rsp[n + 1]) continue;
			const head = heads.get(to) ?? { count: 0, loop: false, rsp: this.#rsp[n + 1]! };
			heads.set(to, head);
			head.count++;
			head.loop ||= to <= from;
		}
		const head = best(heads);
		return { profile, root: head === undefined ? undefined : this.#entryOf(head) };
	}

	/**
	 * The instruction at which execution enters the loop around `head` from outside. Compilers often place a loop so that
	 * it is entered in its middle. `head` itself if the recording has no entry.
	 */
	#entryOf(head: Kaddr): Kaddr {
		const passes = new Map<Kaddr, number>();
		let rounds = 0;
		let last = -1;
		for (const [n, rip] of this.#rip.entries()) {
			if (rip !== head) continue;
			if (last >= 0 && n - last <= MAX_ROUND) {
				rounds++;
				for (const inside of new Set(this.#rip.slice(last, n))) passes.set(inside, (passes.get(inside) ?? 0) + 1);
			}
			last = n;
		}
		const isInside = (n: number): boolean => 2 * (passes.get(this.#rip[n]!) ?? 0) > rounds;
		const entries = new Map<Kaddr, number>();
		for (let n = 1; n < this.#rip.length; n++) {
			const enters = !isInside(n - 1) && isInside(n) && this.#rsp[n] === this.#rsp[last] && !this.#breaks.has(n);
			if (enters) entries.set(this.#rip[n]!, (entries.get(this.#rip[n]!) ?? 0) + 1);
		}
		return [...entries].reduce((most, entry) => (entry[1] > most[1] ? entry : most), [head, 0] as const)[0];
	}
}

function learn(profile: Profile, entry: RegionInstruction, calls: Kaddr[], from: Kaddr, to: Kaddr): void {
	const next = (from + entry.length) | 0;
	if (entry.kind === "site") {
		profile.went(from, to);
		if (to !== next) calls.push(next);
	} else if (entry.kind === "plain") {
		switch (entry.instruction.row.semantic) {
			case "call":
				calls.push(next);
				break;
			case "call_indirect":
				calls.push(next);
				profile.went(from, to);
				break;
			case "jmp_indirect":
				profile.went(from, to);
				break;
			case "ret": {
				const expected = calls.pop();
				profile.went(from, to);
				if (expected !== undefined && expected !== to) profile.redirected(from, to);
			}
		}
	}
}

/** The head of the busiest loop; of several that are equally busy, the one that is outermost on the stack. */
function best(heads: ReadonlyMap<Kaddr, { count: number; loop: boolean; rsp: number }>): Kaddr | undefined {
	let found: Kaddr | undefined;
	let score = { count: 1, loop: false, rsp: 0 };
	for (const [address, head] of heads) {
		if (!head.loop) continue;
		if (head.count < score.count || (head.count === score.count && head.rsp <= score.rsp && found !== undefined))
			continue;
		found = address;
		score = head;
	}
	return found;
}
