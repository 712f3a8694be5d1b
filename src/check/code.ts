import type { ElfSymbol } from "../elf/index.js";
import type { ModuleFile, Pointer, Spot } from "./module-file.js";
import { longer, sleepOf, type WayToSleep } from "./sleeping.js";

/** A piece of code: a function, as far as its symbol says. */
export interface Code extends Spot {
	readonly name: string;
	readonly end: number;
}

/** A direct call or jump. */
export interface Branch {
	/** Of the first byte of the instruction. */
	readonly offset: number;
	/** Offset behind the instruction. */
	readonly end: number;
	readonly call: boolean;
	readonly to: Pointer;
}

const CALL = 0xe8;
const JMP = 0xe9;
/** Bytes of code that are searched for branches in one file. */
const MAX_SEARCHED = 32 << 20;
/** Functions that are visited on ways through the file. */
const MAX_STEPS = 200_000;

/** The function that begins at or covers a spot; undefined if no symbol does. */
export function codeAt(file: ModuleFile, spot: Spot): Code | undefined {
	const symbol = file.symbolAt(spot);
	return symbol === undefined || !file.isCode(spot) ? undefined : codeOf(symbol);
}

export function codeOf(symbol: ElfSymbol): Code {
	const { name, section, value: offset, size } = symbol;
	return { name, section, offset, end: offset + size };
}

/** The direct branches between the functions of a file. */
export class CallGraph {
	readonly #file: ModuleFile;
	readonly #branches = new Map<string, readonly Branch[]>();
	readonly #starts = new Map<number, ReadonlySet<number>>();
	#searched = 0;
	#steps = 0;

	constructor(file: ModuleFile) {
		this.#file = file;
	}

	/** True if the file has so much code that not all of it was searched. */
	get isCut(): boolean {
		return this.#searched > MAX_SEARCHED || this.#steps >= MAX_STEPS;
	}

	/**
	 * Direct branches in a piece of code, found by their bytes: the displacement has a relocation, or leads to the start of a
	 * function of the same section. Nothing is decoded, so that instructions that no decoder knows do no harm; four bytes of an
	 * immediate look like the way to a function's start once in a billion.
	 */
	branches(code: Code): readonly Branch[] {
		const key = `${code.section}:${code.offset}:${code.end}`;
		let found = this.#branches.get(key);
		if (found === undefined) {
			this.#searched += code.end - code.offset;
			found = this.isCut ? [] : this.#search(code);
			this.#branches.set(key, found);
		}
		return found;
	}

	#search(code: Code): Branch[] {
		const section = this.#file.object.sections[code.section];
		if (section === undefined) return [];
		const { data } = section;
		const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
		const relocations = this.#file.relocationsOf(code.section);
		const starts = this.#startsOf(code.section);
		const out: Branch[] = [];
		const last = Math.min(code.end, data.length) - 5;
		for (let at = code.offset; at <= last; at++) {
			const first = data[at]!;
			const conditional = first === 0x0f && (data[at + 1]! & 0xf0) === 0x80;
			if (first !== CALL && first !== JMP && !conditional) continue;
			const place = at + (conditional ? 2 : 1);
			const end = place + 4;
			if (end > code.end || end > data.length) continue;
			const relocation = relocations.get(place);
			// R_X86_64_PC32, R_X86_64_PLT32
			if (relocation !== undefined && relocation.type !== 2 && relocation.type !== 4) continue;
			const offset = end + view.getInt32(place, true);
			if (relocation === undefined && (!starts.has(offset) || (offset >= code.offset && offset < code.end))) continue;
			const to: Pointer =
				relocation === undefined ? { kind: "here", section: code.section, offset } : this.#file.target(relocation, 4);
			out.push({ offset: at, end, call: first === CALL, to });
			at = end - 1;
		}
		return out;
	}

	#startsOf(section: number): ReadonlySet<number> {
		let starts = this.#starts.get(section);
		if (starts === undefined) {
			starts = new Set(this.#file.symbolsOf(section).map(({ value }) => value));
			this.#starts.set(section, starts);
		}
		return starts;
	}

	/** The function of the file that a branch leads to. */
	#local({ to }: Branch): Code | undefined {
		return to.kind === "here" ? codeAt(this.#file, to) : undefined;
	}

	nameOf(branch: Branch): string | undefined {
		return branch.to.kind === "elsewhere" ? branch.to.symbol : this.#local(branch)?.name;
	}

	/** The functions of the file that can be reached from one, itself first. */
	*reachable(code: Code): Generator<Code> {
		const seen = new Set([code.offset + code.section * 2 ** 32]);
		const queue = [code];
		for (let next = queue.shift(); next !== undefined && this.#steps < MAX_STEPS; next = queue.shift()) {
			this.#steps++;
			yield next;
			for (const branch of this.branches(next)) {
				const to = this.#local(branch);
				const key = to === undefined ? undefined : to.offset + to.section * 2 ** 32;
				if (to === undefined || key === undefined || seen.has(key)) continue;
				seen.add(key);
				queue.push(to);
			}
		}
	}

	/** The shortest way to a function that sleeps, through functions of the file. */
	wayToSleep(code: Code): WayToSleep | undefined {
		const ways = new Map<string, readonly string[]>([[code.name, []]]);
		let best: WayToSleep | undefined;
		for (const step of this.reachable(code)) {
			const through = ways.get(step.name) ?? [step.name];
			// Only longer ways follow.
			if (best !== undefined && through.length >= best.through.length) break;
			for (const branch of this.branches(step)) {
				const name = this.nameOf(branch);
				if (name === undefined) continue;
				const sleep = branch.to.kind === "elsewhere" ? sleepOf(symbolName(name)) : undefined;
				if (sleep !== undefined) best = longer(best, { sleep, through: [...through, symbolName(name)] });
				if (!ways.has(name)) ways.set(name, [...through, name]);
			}
		}
		return best;
	}

	/** The last instruction, if it is a call: the address behind it is the next function's, or nobody's. */
	lastCall(code: Code): Branch | undefined {
		const last = this.branches(code).at(-1);
		return last?.call && last.end === code.end && code.end === this.#file.kallsymsEnd(code) ? last : undefined;
	}
}

/** The name in a livepatch symbol, and other names as they are. */
export function symbolName(name: string): string {
	return /^\.klp\.sym\.[^.]+\.([^,]+),\d+$/.exec(name)?.[1] ?? name;
}
