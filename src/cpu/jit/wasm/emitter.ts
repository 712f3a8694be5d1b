/** A small WebAssembly emitter: the part of the binary format that the translator uses (core specification, chapter 5). */

export type Type = "i32" | "i64";
const TYPE_CODE = { i32: 0x7f, i64: 0x7e } as const;

/** Opcodes by name, without immediates. */
export const OP = {
	unreachable: 0x00,
	return: 0x0f,
	drop: 0x1a,
	select: 0x1b,
	"i32.eqz": 0x45,
	"i32.eq": 0x46,
	"i32.ne": 0x47,
	"i32.lt_s": 0x48,
	"i32.lt_u": 0x49,
	"i32.gt_s": 0x4a,
	"i32.gt_u": 0x4b,
	"i32.le_s": 0x4c,
	"i32.le_u": 0x4d,
	"i32.ge_s": 0x4e,
	"i32.ge_u": 0x4f,
	"i64.eqz": 0x50,
	"i64.eq": 0x51,
	"i64.ne": 0x52,
	"i64.lt_s": 0x53,
	"i64.lt_u": 0x54,
	"i64.gt_s": 0x55,
	"i64.gt_u": 0x56,
	"i64.le_s": 0x57,
	"i64.le_u": 0x58,
	"i64.ge_s": 0x59,
	"i64.ge_u": 0x5a,
	"i32.clz": 0x67,
	"i32.ctz": 0x68,
	"i32.popcnt": 0x69,
	"i32.add": 0x6a,
	"i32.sub": 0x6b,
	"i32.mul": 0x6c,
	"i32.div_s": 0x6d,
	"i32.div_u": 0x6e,
	"i32.rem_s": 0x6f,
	"i32.rem_u": 0x70,
	"i32.and": 0x71,
	"i32.or": 0x72,
	"i32.xor": 0x73,
	"i32.shl": 0x74,
	"i32.shr_s": 0x75,
	"i32.shr_u": 0x76,
	"i32.rotl": 0x77,
	"i32.rotr": 0x78,
	"i64.clz": 0x79,
	"i64.ctz": 0x7a,
	"i64.popcnt": 0x7b,
	"i64.add": 0x7c,
	"i64.sub": 0x7d,
	"i64.mul": 0x7e,
	"i64.div_s": 0x7f,
	"i64.div_u": 0x80,
	"i64.rem_s": 0x81,
	"i64.rem_u": 0x82,
	"i64.and": 0x83,
	"i64.or": 0x84,
	"i64.xor": 0x85,
	"i64.shl": 0x86,
	"i64.shr_s": 0x87,
	"i64.shr_u": 0x88,
	"i64.rotl": 0x89,
	"i64.rotr": 0x8a,
	"i32.wrap_i64": 0xa7,
	"i64.extend_i32_s": 0xac,
	"i64.extend_i32_u": 0xad,
	"i32.extend8_s": 0xc0,
	"i32.extend16_s": 0xc1,
	"i64.extend8_s": 0xc2,
	"i64.extend16_s": 0xc3,
	"i64.extend32_s": 0xc4,
} as const;
export type OpName = keyof typeof OP;

const MEMORY_OP = {
	"i32.load": 0x28,
	"i64.load": 0x29,
	"i32.load8_u": 0x2d,
	"i32.load16_u": 0x2f,
	"i32.store": 0x36,
	"i64.store": 0x37,
	"i32.store8": 0x3a,
	"i32.store16": 0x3b,
} as const;
export type MemoryOp = keyof typeof MEMORY_OP;

function unsigned(out: number[], value: number): void {
	let rest = value >>> 0;
	while (rest > 0x7f) {
		out.push((rest & 0x7f) | 0x80);
		rest >>>= 7;
	}
	out.push(rest);
}

function signed32(out: number[], value: number): void {
	let rest = value | 0;
	while (rest < -64 || rest > 63) {
		out.push((rest & 0x7f) | 0x80);
		rest >>= 7;
	}
	out.push(rest & 0x7f);
}

function signed(out: number[], value: bigint): void {
	let rest = value;
	for (;;) {
		const low = Number(rest & 0x7fn);
		rest >>= 7n;
		if ((rest === 0n && (low & 0x40) === 0) || (rest === -1n && (low & 0x40) !== 0)) {
			out.push(low);
			return;
		}
		out.push(low | 0x80);
	}
}

/** A label of a block or loop, for {@link Code.br}. */
export interface Label {
	readonly level: number;
}

interface BranchHint {
	/** Place of the `if` or `br_if`. */
	readonly at: number;
	/** The condition nearly always holds; else nearly never. */
	readonly likely: boolean;
}

/** The body of one function. */
export class Code {
	readonly out: number[] = [];
	readonly #params: number;
	readonly #locals: Type[] = [];
	readonly #free: Record<Type, number[]> = { i32: [], i64: [] };
	#used: { type: Type; index: number }[] = [];
	#depth = 0;
	/** Places in {@link out} of branches of which it is known which way they nearly always go. */
	#hints: BranchHint[] = [];

	constructor(params: number) {
		this.#params = params;
	}

	/** Another body that begins with the same locals, in the same blocks: a draft, whose bytes are not for the module. */
	draft(): Code {
		const draft = new Code(this.#params);
		draft.#locals.push(...this.#locals);
		for (const type of ["i32", "i64"] as const) draft.#free[type].push(...this.#free[type]);
		draft.#used = [...this.#used];
		draft.#depth = this.#depth;
		return draft;
	}

	/** A local that is never released. */
	local(type: Type): number {
		this.#locals.push(type);
		return this.#params + this.#locals.length - 1;
	}
	/** A local until {@link releaseTemps}. */
	temp(type: Type): number {
		const index = this.#free[type].pop() ?? this.local(type);
		this.#used.push({ type, index });
		return index;
	}
	releaseTemps(): void {
		for (const { type, index } of this.#used) this.#free[type].push(index);
		this.#used = [];
	}

	op(name: OpName): this {
		this.out.push(OP[name]);
		return this;
	}
	i32(value: number): this {
		this.out.push(0x41);
		signed32(this.out, value);
		return this;
	}
	i64(value: bigint): this {
		this.out.push(0x42);
		const number = Number(value);
		// Most constants are small, and BigInt arithmetic is slow.
		if (number === (number | 0)) signed32(this.out, number);
		else signed(this.out, BigInt.asIntN(64, value));
		return this;
	}
	constant(type: Type, value: bigint): this {
		return type === "i32" ? this.i32(Number(BigInt.asIntN(32, value))) : this.i64(value);
	}
	get(local: number): this {
		this.out.push(0x20);
		unsigned(this.out, local);
		return this;
	}
	set(local: number): this {
		this.out.push(0x21);
		unsigned(this.out, local);
		return this;
	}
	tee(local: number): this {
		this.out.push(0x22);
		unsigned(this.out, local);
		return this;
	}
	call(index: number): this {
		this.out.push(0x10);
		unsigned(this.out, index);
		return this;
	}
	/** Leaves the function for one of a table, without growing the stack. */
	tailCallIndirect(type: number, table = 0): this {
		this.out.push(0x13);
		unsigned(this.out, type);
		unsigned(this.out, table);
		return this;
	}
	/** Loads and stores are unaligned: the hint is 0. */
	memory(name: MemoryOp, offset = 0): this {
		this.out.push(MEMORY_OP[name], 0);
		unsigned(this.out, offset);
		return this;
	}

	block(): Label {
		this.out.push(0x02, 0x40);
		return { level: ++this.#depth };
	}
	loop(): Label {
		this.out.push(0x03, 0x40);
		return { level: ++this.#depth };
	}
	if(result?: Type): void {
		this.out.push(0x04, result === undefined ? 0x40 : TYPE_CODE[result]);
		this.#depth++;
	}
	else(): void {
		this.out.push(0x05);
	}
	end(): void {
		this.out.push(0x0b);
		this.#depth--;
	}
	/** Says of the next instruction, an `if` or `br_if`, that its condition nearly always holds, or nearly never. */
	hint(likely: boolean): this {
		this.#hints.push({ at: this.out.length, likely });
		return this;
	}
	br(label: Label): this {
		this.out.push(0x0c);
		unsigned(this.out, this.#depth - label.level);
		return this;
	}
	brIf(label: Label): this {
		this.out.push(0x0d);
		unsigned(this.out, this.#depth - label.level);
		return this;
	}
	brTable(labels: readonly Label[], fallback: Label): void {
		this.out.push(0x0e);
		unsigned(this.out, labels.length);
		for (const label of labels) unsigned(this.out, this.#depth - label.level);
		unsigned(this.out, this.#depth - fallback.level);
	}

	/** What `emit` emits comes before all that was emitted. */
	prepend(emit: () => void): void {
		const body = this.out.splice(0);
		const hints = this.#hints.splice(0);
		emit();
		const moved = this.out.length;
		this.out.push(...body);
		this.#hints.push(...hints.map(({ at, likely }) => ({ at: at + moved, likely })));
	}

	/** For the function with this index, what the section of branch hints holds; empty: none. */
	hints(index: number): number[] {
		const out: number[] = [];
		if (this.#hints.length === 0) return out;
		const before = this.#head().length;
		unsigned(out, index);
		unsigned(out, this.#hints.length);
		for (const { at, likely } of this.#hints) {
			unsigned(out, before + at);
			out.push(1, likely ? 1 : 0);
		}
		return out;
	}

	/** The pieces of the function's entry in the code section, in order. */
	finish(): readonly (readonly number[])[] {
		const head = this.#head();
		const size: number[] = [];
		unsigned(size, head.length + this.out.length + 1);
		return [size, head, this.out, [0x0b]];
	}

	#head(): number[] {
		const head: number[] = [];
		const runs: { type: Type; count: number }[] = [];
		for (const type of this.#locals) {
			const last = runs.at(-1);
			if (last?.type === type) last.count++;
			else runs.push({ type, count: 1 });
		}
		unsigned(head, runs.length);
		for (const { type, count } of runs) {
			unsigned(head, count);
			head.push(TYPE_CODE[type]);
		}
		return head;
	}
}

export interface Signature {
	readonly params: readonly Type[];
	readonly results: readonly Type[];
}

export interface ImportedFunction {
	readonly name: string;
	readonly signature: Signature;
}

export interface ModuleFunction {
	readonly signature: Signature;
	readonly code: Code;
	readonly exportAs?: string;
}

type Pieces = readonly (readonly number[])[];

/** Functions that a module puts into the table `h.f`, which it then imports after `h.t`: so many from the one with `first` on. */
export interface TableFill {
	/** Place of the first one in the table. */
	readonly at: number;
	/** Number of the first one among the module's own functions. */
	readonly first: number;
	readonly count: number;
}

/**
 * A module with imported functions from `h`, the memory `h.m`, the table `h.t` and some functions, the exported ones
 * named. `memoryPages`: exact; undefined: any memory will do.
 */
export function buildModule(
	memoryPages: number | undefined,
	imports: readonly ImportedFunction[],
	functions: readonly ModuleFunction[],
	fill?: TableFill,
): Uint8Array<ArrayBuffer> {
	const pieces: Pieces = [
		[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
		...section(1, [typeSection([...imports, ...functions])]),
		...section(2, [importSection(memoryPages, imports, fill === undefined ? ["t"] : ["t", "f"])]),
		...section(3, [vector(functions, (out, _, n) => unsigned(out, imports.length + n))]),
		...section(7, [exportSection(functions, imports.length)]),
		...(fill === undefined ? [] : section(9, [elementSection(fill, imports.length)])),
		...branchHints(functions.map(({ code }, n) => code.hints(imports.length + n))),
		...section(10, [vector(functions, () => {}), ...functions.flatMap(({ code }) => code.finish())]),
	];
	const out = new Uint8Array(lengthOf(pieces));
	let at = 0;
	for (const piece of pieces) {
		out.set(piece, at);
		at += piece.length;
	}
	return out;
}

/** The module with a section that V8 passes over. */
export function customSection(module: Uint8Array, title: string, data: Uint8Array): Uint8Array<ArrayBuffer> {
	const content: number[] = [];
	name(content, title);
	content.push(...data);
	return Uint8Array.from([...module, ...section(0, [content]).flat()]);
}

/**
 * Which way branches nearly always go (the WebAssembly proposal "branch hinting"; who does not know it passes over the section). V8 keeps what only a
 * rare way needs out of the registers of the others.
 */
function branchHints(hints: readonly (readonly number[])[]): Pieces {
	const given = hints.filter(({ length }) => length > 0);
	if (given.length === 0) return [];
	const content: number[] = [];
	name(content, "metadata.code.branch_hint");
	unsigned(content, given.length);
	return section(0, [content, ...given]);
}

function section(id: number, content: Pieces): Pieces {
	const head = [id];
	unsigned(head, lengthOf(content));
	return [head, ...content];
}

function lengthOf(pieces: Pieces): number {
	return pieces.reduce((sum, piece) => sum + piece.length, 0);
}

/** A count, and the bytes that `each` adds for each item. */
function vector<T>(items: readonly T[], each: (out: number[], item: T, n: number) => void): number[] {
	const out: number[] = [];
	unsigned(out, items.length);
	for (const [n, item] of items.entries()) each(out, item, n);
	return out;
}

function name(out: number[], text: string): void {
	unsigned(out, text.length);
	for (let i = 0; i < text.length; i++) out.push(text.charCodeAt(i));
}

/** One type for each function, with the function's number. */
function typeSection(all: readonly { readonly signature: Signature }[]): number[] {
	return vector(all, (out, { signature }) => {
		out.push(0x60);
		for (const types of [signature.params, signature.results]) {
			unsigned(out, types.length);
			for (const type of types) out.push(TYPE_CODE[type]);
		}
	});
}

function importSection(
	memoryPages: number | undefined,
	imports: readonly ImportedFunction[],
	tables: readonly string[],
): number[] {
	const table = (out: number[]): void => {
		out.push(0x01, 0x70, 0x00, 0x00);
	};
	const memory = (out: number[]): void => {
		out.push(0x02, memoryPages === undefined ? 0x00 : 0x01);
		unsigned(out, memoryPages ?? 1);
		if (memoryPages !== undefined) unsigned(out, memoryPages);
	};
	const functions = imports.map((entry, n) => ({
		name: entry.name,
		describe: (out: number[]): void => {
			out.push(0x00);
			unsigned(out, n);
		},
	}));
	const entries = tables.map((name) => ({ name, describe: table }));
	return vector([...entries, { name: "m", describe: memory }, ...functions], (out, entry) => {
		name(out, "h");
		name(out, entry.name);
		entry.describe(out);
	});
}

function exportSection(functions: readonly ModuleFunction[], first: number): number[] {
	const exported = functions.flatMap(({ exportAs }, n) => (exportAs === undefined ? [] : [{ exportAs, n }]));
	return vector(exported, (out, { exportAs, n }) => {
		name(out, exportAs);
		out.push(0x00);
		unsigned(out, first + n);
	});
}

function elementSection({ at, first, count }: TableFill, imported: number): number[] {
	return vector([at], (out) => {
		// Active, with a table that is not the first one; the functions by their indices.
		out.push(0x02, 0x01, 0x41);
		signed32(out, at);
		out.push(0x0b, 0x00);
		unsigned(out, count);
		for (let n = 0; n < count; n++) unsigned(out, imported + first + n);
	});
}
