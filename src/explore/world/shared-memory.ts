import { type Kaddr, type Memory, PAGE_SHIFT } from "../../memory/index.js";
import { AccessLog, type AccessNotes, NOTED, readNotes } from "./access-log.js";
import { Conflicts } from "./conflicts.js";

const WORD_SHIFT = 3;
/** Among the points: all functions that take locks, or give them back. */
const LOCKS = "locks";
/** Words of a page. */
const WORDS = 1 << (PAGE_SHIFT - WORD_SHIFT);

/** A set of words of 8 bytes, as bits by page. */
class WordSet {
	readonly #pages = new Map<number, Uint32Array>();

	has(word: number): boolean {
		const bits = this.#pages.get(word >> (PAGE_SHIFT - WORD_SHIFT));
		return bits !== undefined && (bits[(word & (WORDS - 1)) >> 5]! & (1 << (word & 31))) !== 0;
	}

	/** False: it was there. */
	add(word: number): boolean {
		const page = word >> (PAGE_SHIFT - WORD_SHIFT);
		let bits = this.#pages.get(page);
		if (bits === undefined) {
			bits = new Uint32Array(WORDS >> 5);
			this.#pages.set(page, bits);
		}
		const [at, bit] = [(word & (WORDS - 1)) >> 5, 1 << (word & 31)];
		if (bits[at]! & bit) return false;
		bits[at]! |= bit;
		return true;
	}
}

/** A set of bytes, as a bit for each byte of a word, by page. */
class ByteSet {
	readonly #pages: Map<number, Uint8Array>;

	constructor(pages: ReadonlyMap<number, Uint8Array> = new Map()) {
		this.#pages = new Map([...pages].map(([page, words]) => [page, words.slice()]));
	}

	/** The bytes of each word, by page. */
	get pages(): ReadonlyMap<number, Uint8Array> {
		return this.#pages;
	}

	/** The bytes of one word that are in the set, as bits. */
	bitsAt(word: number): number {
		return this.#pages.get(word >> (PAGE_SHIFT - WORD_SHIFT))?.[word & (WORDS - 1)] ?? 0;
	}

	add(word: number, bits: number): void {
		const page = word >> (PAGE_SHIFT - WORD_SHIFT);
		let words = this.#pages.get(page);
		if (words === undefined) {
			words = new Uint8Array(WORDS);
			this.#pages.set(page, words);
		}
		words[word & (WORDS - 1)]! |= bits;
	}
}

/** The bytes of `word` that an access touches, as bits. */
function bitsOf(word: number, address: Kaddr, length: number): number {
	const from = Math.max(address - (word << WORD_SHIFT), 0);
	const to = Math.min(address + length - (word << WORD_SHIFT), 1 << WORD_SHIFT);
	return ((1 << to) - 1) & ~((1 << from) - 1);
}

const firstByte = (word: number, bits: number): Kaddr => (word << WORD_SHIFT) + Math.log2(bits & -bits);

/** A set that takes effect with the next exploration. */
class Found<T> {
	readonly #all: Set<T>;
	#now: ReadonlySet<T> = new Set();

	constructor(all: Iterable<T> = []) {
		this.#all = new Set(all);
	}

	/** True if it was not known. */
	add(one: T): boolean {
		if (this.#all.has(one)) return false;
		this.#all.add(one);
		return true;
	}

	begin(): void {
		this.#now = new Set(this.#all);
	}

	get now(): ReadonlySet<T> {
		return this.#now;
	}
}

/** What an exploration has known when it began, for another world of the same model. Plain data. */
export interface KnownMemory {
	readonly points: readonly string[];
	readonly escaped: readonly number[];
	readonly state: readonly number[];
	readonly seen: readonly number[];
	/** What code of tasks writes: bits for bytes, by page and word. */
	readonly writtenByTasks: ReadonlyMap<number, Uint8Array>;
}

/**
 * The memory that actors and tasks of an exploration share, found from what their code does. What is found takes effect with `begin()`;
 * while something is found, the exploration begins again: so in the last one, these statements are true of every access that was made.
 *
 * - `isPoint`: accesses to memory that another one accesses at the same time, one of the two writing ({@link Conflicts}).
 * - `state`: the words that code of the kernel reads and anyone writes: with the machine's objects they are the kernel's state.
 * - `seen`: those of them that code of the kernel reads which tasks run: a task's way depends on them.
 */
export class SharedMemory {
	readonly #memory: Memory;
	#conflicts = new Conflicts();
	readonly #read = new WordSet();
	readonly #written = new WordSet();
	readonly #readByTasks = new WordSet();
	readonly #readBytes = new ByteSet();
	/** Bytes that tasks' own code reads, and writes. */
	readonly #readByOwnCode = new ByteSet();
	#writtenByTasks = new ByteSet();
	/** A byte that code of tasks writes and that decides something: states do not hold its value. `ip`: where, if a task decides. */
	lost: { readonly address: Kaddr; readonly ip: Kaddr | undefined } | undefined = undefined;
	/** In an object that the task which moves has allocated in this move, for itself: nothing of it is shared. */
	isNew: (address: Kaddr) => boolean = () => false;
	/** The address of a per-CPU variable of a module in the area of CPU 0: which CPU's it is, states do not hold. Undefined: it is none. */
	perCpu: (address: Kaddr) => Kaddr | undefined = () => undefined;
	/** Words of stacks that others have accessed: nobody's own. */
	#escaped = new Found<number>();
	#state = new Found<number>();
	#seen = new Found<number>();
	/** Gates that touch shared words; {@link LOCKS}. */
	#gates = new Found<string>();
	/** Words of locks, as far as the functions that wait for them access them. */
	readonly #locks = new WordSet();
	/** Words that other code reads. */
	readonly #lookedAt = new WordSet();
	/** `state` and `seen`, in order. */
	#stateWords: readonly number[] = [];
	#seenWords: readonly number[] = [];
	/** Something was found since {@link begin}. */
	grown = false;
	/** A word that time writes; undefined: guest code has none. */
	clock: Kaddr | undefined = undefined;
	/** The number of the CPU is there, on which nobody is. */
	isCpuNumber: (address: Kaddr) => boolean = () => false;
	/** Tasks' own code writes memory, or reads the clock or the number of its CPU. */
	hasSources = false;
	/** A byte was found that tasks write, and that they have read before. */
	sourcesGrown = false;
	/** By word: the bytes that the present move has written, as bits. */
	readonly #writtenInMove = new Map<number, number>();
	/** Keeps all that is noted, if somebody wants it. */
	#log: AccessLog | undefined = undefined;
	/** The same, for the present move of a task. */
	#move: AccessLog | undefined = undefined;

	/** `points`: of an earlier exploration. */
	constructor(memory: Memory, points: Iterable<string> = []) {
		this.#memory = memory;
		this.#addPoints(points);
		this.begin();
	}

	#addPoints(points: Iterable<string>): void {
		for (const point of points) {
			if (!this.#conflicts.addPoint(point)) this.#gates.add(point);
		}
	}

	// ---- worlds in other threads ----

	known(): KnownMemory {
		const [escaped, state, seen] = [this.#escaped, this.#state, this.#seen].map(({ now }) => [...now]);
		const writtenByTasks = new ByteSet(this.#writtenByTasks.pages).pages;
		return { points: this.points(), escaped: escaped!, state: state!, seen: seen!, writtenByTasks };
	}

	/** An exploration begins, in which this and nothing else is known. What is noted in it is kept. */
	beginWith({ points, escaped, state, seen, writtenByTasks }: KnownMemory): void {
		this.#conflicts = new Conflicts();
		[this.#escaped, this.#state, this.#seen] = [new Found(escaped), new Found(state), new Found(seen)];
		this.#gates = new Found();
		this.#writtenByTasks = new ByteSet(writtenByTasks);
		this.hasSources = writtenByTasks.size > 0;
		this.#addPoints(points);
		this.#log = new AccessLog();
		this.begin();
	}

	/** What was noted since the last call. */
	takeNotes(): AccessNotes {
		return this.#log?.take() ?? { accesses: [], gates: [] };
	}

	#note(...note: Parameters<AccessLog["note"]>): void {
		this.#log?.note(...note);
		this.#move?.note(...note);
	}

	/** Keeps notes, until {@link endNotes}. */
	beginNotes(): void {
		this.#move = new AccessLog();
	}

	/** All that was noted since then; undefined: more than can be told. */
	endNotes(): AccessNotes | undefined {
		const notes = this.#move?.take();
		this.#move = undefined;
		return notes;
	}

	/** Another world would make a move in the same way, as far as it depends on what is known of memory that tasks write. */
	isAsKnown(notes: AccessNotes): boolean {
		let isSame = true;
		readNotes(notes, (what, flags, bits, word) => {
			if (what !== NOTED.read || (flags & 2) === 0) return;
			const knew = (flags & 4) !== 0;
			if (this.#isWrittenByTasks(word, bits, knew) !== knew) isSame = false;
		});
		return isSame;
	}

	/** `knew`: that world has known that tasks write it, and so has followed where the value goes. */
	#readElsewhere(word: number, bits: number, byTask: boolean, followed: boolean, knew: boolean): void {
		this.#readWord(word, bits, byTask, followed);
		if (followed && !knew && this.#isWrittenByTasks(word, bits, false)) this.sourcesGrown = true;
	}

	/** Tasks write at least one of the bytes, or `all` of them. */
	#isWrittenByTasks(word: number, bits: number, all: boolean): boolean {
		const written = this.#writtenByTasks.bitsAt(word) & bits;
		return all ? written === bits : written !== 0;
	}

	/** Notes what another world has noted. */
	addNotes(notes: AccessNotes): void {
		for (const gate of notes.gates) this.addGate(gate);
		readNotes(notes, (what, flags, who, address, length) => {
			const [first, second] = [(flags & 1) !== 0, (flags & 2) !== 0];
			if (what === NOTED.access) this.access(who, address, length, first, second);
			else if (what === NOTED.read) this.#readElsewhere(address, who, first, second, (flags & 4) !== 0);
			else if (what === NOTED.write) this.write(address, length);
			else if (what === NOTED.taskWrites) this.taskWrites(address, length);
			else if (what === NOTED.lock) this.lock(address, length);
			else if (what === NOTED.looks) this.looks(address, length);
			else this.escapes(address);
		});
	}

	/** An exploration begins. */
	begin(): void {
		this.grown = false;
		this.sourcesGrown = false;
		this.lost = undefined;
		this.#conflicts.begin();
		for (const found of [this.#escaped, this.#state, this.#seen, this.#gates]) found.begin();
		// A move of a task changes the task only, so that no state could hold what it writes.
		const isKept = (word: number) => this.#writtenByTasks.bitsAt(word) === 0;
		this.#stateWords = inOrder(this.#state.now).filter(isKept);
		this.#seenWords = inOrder(this.#seen.now).filter(isKept);
	}

	/** A move begins. */
	beginMove(): void {
		this.#writtenInMove.clear();
	}

	#find<T>(set: Found<T>, one: T): void {
		if (set.add(one)) this.grown = true;
	}

	/** True if such an access is a point. `locked`: klp_mutex is held. */
	isPoint(address: Kaddr, length: number, writes: boolean, locked: boolean): boolean {
		return this.#conflicts.isPoint(address, length, writes, locked);
	}

	/** What makes an access a point: memory (see Conflicts.points()), and names of gates. */
	points(): string[] {
		return [...this.#conflicts.points(), ...[...this.#gates.now].sort()];
	}

	/** Notes an access of kernel code. `who`: a number for each actor and each task. */
	access(who: number, address: Kaddr, length: number, writes: boolean, locked: boolean): void {
		this.#note(NOTED.access, Number(writes) + 2 * Number(locked), who, address, length);
		if (this.#conflicts.add(who, address, length, writes, locked)) this.grown = true;
	}

	/**
	 * Notes a read by kernel code. `byTask`: code that a task runs. `followed`: where the value goes is followed (TaskFlow). A word is
	 * state only if some move reads bytes of it that it has not written before: otherwise no move depends on what was there when it began.
	 */
	read(at: Kaddr, length: number, byTask: boolean, followed = false): void {
		const address = this.perCpu(at) ?? at;
		for (let word = address >> WORD_SHIFT; word <= (address + length - 1) >> WORD_SHIFT; word++) {
			const bits = bitsOf(word, address, length);
			if (followed || (bits & ~(this.#writtenInMove.get(word) ?? 0)) !== 0)
				this.#readWord(word, bits, byTask, followed);
		}
	}

	#readWord(word: number, bits: number, byTask: boolean, followed: boolean): void {
		if (this.#log !== undefined || this.#move !== undefined) {
			const flags = Number(byTask) + 2 * Number(followed) + 4 * Number(this.#isWrittenByTasks(word, bits, true));
			this.#note(NOTED.read, flags, bits, word, 1);
		}
		if (this.#read.add(word) && this.#written.has(word)) this.#find(this.#state, word);
		if (followed) this.#readByOwnCode.add(word, bits);
		else this.#decides(word, bits);
		if (byTask && this.#readByTasks.add(word) && this.#written.has(word)) this.#find(this.#seen, word);
	}

	/** Notes a write by anyone. */
	write(address: Kaddr, length: number): void {
		this.#note(NOTED.write, 0, 0, address, length);
		for (let word = address >> WORD_SHIFT; word <= (address + length - 1) >> WORD_SHIFT; word++) {
			this.#writtenInMove.set(word, (this.#writtenInMove.get(word) ?? 0) | bitsOf(word, address, length));
			if (!this.#written.add(word)) continue;
			if (this.#read.has(word)) this.#find(this.#state, word);
			if (this.#readByTasks.has(word)) this.#find(this.#seen, word);
		}
	}

	/** Notes a write by a task's own code, which a move of the task does not keep for others. */
	taskWrites(at: Kaddr, length: number): void {
		const address = this.perCpu(at) ?? at;
		if (this.isNew(address)) return;
		this.#note(NOTED.taskWrites, 0, 0, address, length);
		for (let word = address >> WORD_SHIFT; word <= (address + length - 1) >> WORD_SHIFT; word++) {
			const bits = bitsOf(word, address, length);
			if (this.#state.now.has(word) && this.#writtenByTasks.bitsAt(word) === 0) this.grown = true;
			const isNew = bits & ~this.#writtenByTasks.bitsAt(word);
			// Where earlier reads have led was not followed.
			if ((isNew & this.#readByOwnCode.bitsAt(word)) !== 0) this.sourcesGrown = true;
			this.#writtenByTasks.add(word, bits);
			this.hasSources = true;
			this.#lose(word, bits & this.#readBytes.bitsAt(word));
		}
	}

	/** Notes that a task reads the clock, or the number of its CPU. */
	readClock(): void {
		this.hasSources = true;
		this.#move = undefined;
	}

	/** Notes a read by a kernel function in TypeScript that a task has called: its result may depend on it. */
	readForTask(address: Kaddr, length: number): void {
		if (this.isNew(address)) return;
		this.#move = undefined;
		for (let word = address >> WORD_SHIFT; word <= (address + length - 1) >> WORD_SHIFT; word++) {
			this.#decides(word, bitsOf(word, address, length));
		}
	}

	#decides(word: number, bits: number): void {
		this.#readBytes.add(word, bits);
		this.#lose(word, bits & this.#writtenByTasks.bitsAt(word));
	}

	#lose(word: number, bits: number): void {
		if (bits !== 0) this.lost ??= { address: firstByte(word, bits), ip: undefined };
	}

	/** The first byte of the memory that tasks' own code, or time, writes; 0: there is none. */
	sourceAt(at: Kaddr, length: number): Kaddr {
		const address = this.perCpu(at) ?? at;
		if (address === this.clock || this.isCpuNumber(address)) return address;
		for (let word = address >> WORD_SHIFT; word <= (address + length - 1) >> WORD_SHIFT; word++) {
			const bits = this.#writtenByTasks.bitsAt(word) & bitsOf(word, address, length);
			if (bits !== 0) return firstByte(word, bits);
		}
		return 0;
	}

	/** Notes an access to a lock by a function that waits for it, or gives it back. */
	lock(address: Kaddr, length: number): void {
		this.#note(NOTED.lock, 0, 0, address, length);
		this.#meet(this.#locks, this.#lookedAt, address, length);
	}

	/** Notes a read by any other code. */
	looks(address: Kaddr, length: number): void {
		this.#note(NOTED.looks, 0, 0, address, length);
		this.#meet(this.#lookedAt, this.#locks, address, length);
	}

	#meet(here: WordSet, there: WordSet, address: Kaddr, length: number): void {
		for (let word = address >> WORD_SHIFT; word <= (address + length - 1) >> WORD_SHIFT; word++) {
			if (here.add(word) && there.has(word)) this.addGate(LOCKS);
		}
	}

	/** Somebody looks at a lock and does not wait for it: a trylock, mutex_is_locked(). So that others hold it is no private matter. */
	get locksSeen(): boolean {
		return this.isGateShared(LOCKS);
	}

	/** True if kernel code reads one of the words. */
	isRead(address: Kaddr, length: number): boolean {
		for (let word = address >> WORD_SHIFT; word <= (address + length - 1) >> WORD_SHIFT; word++) {
			if (this.#read.has(word)) return true;
		}
		return false;
	}

	/** The memory is on the stack of a task that is not the one which accesses it. */
	escapes(address: Kaddr): void {
		this.#note(NOTED.escapes, 0, 0, address, 1);
		this.#find(this.#escaped, address >> WORD_SHIFT);
	}

	hasEscaped(address: Kaddr): boolean {
		return this.#escaped.now.has(address >> WORD_SHIFT);
	}

	/** The gate has touched shared words: a call of it is a point. */
	addGate(name: string): void {
		this.#log?.noteGate(name);
		this.#move?.noteGate(name);
		this.#find(this.#gates, name);
	}

	isGateShared(name: string): boolean {
		return this.#gates.now.has(name);
	}

	/** The values of the words that are the kernel's state. */
	stateKey(): string {
		return this.#values(this.#stateWords);
	}

	/** The values of the words that a task's way depends on. */
	seenKey(): string {
		return this.#values(this.#seenWords);
	}

	#values(words: readonly number[]): string {
		const memory = this.#memory;
		const values: number[] = [];
		for (const word of words) {
			const at = word << WORD_SHIFT;
			if (memory.entry(at) === 0) values.push(Number.NaN);
			else values.push(memory.i32(at), memory.i32(at + 4));
		}
		return values.join();
	}
}

function inOrder(words: ReadonlySet<number>): number[] {
	return [...words].sort((a, b) => a - b);
}
