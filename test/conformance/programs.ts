import type { Random } from "./random.js";

const TYPES = [
	"signed char",
	"unsigned char",
	"short",
	"unsigned short",
	"int",
	"unsigned int",
	"long",
	"unsigned long",
];
const BINARY = ["+", "-", "*", "&", "|", "^", "<", ">", "==", "!=", "<=", ">=", "&&", "||"];

/**
 * Random C for gcc. What it computes does not matter, nor whether it is defined C: the same machine code runs everywhere. It
 * must only end, stay in its memory, and not divide by zero.
 */
export class ProgramWriter {
	readonly #random: Random;
	#loops = 0;

	constructor(random: Random) {
		this.#random = random;
	}

	/** A translation unit with `unsigned long f(unsigned long, unsigned long, unsigned long, unsigned long)`. */
	write(): string {
		const helpers = [0, 1].map((index) =>
			this.#function(`static __attribute__((noinline)) unsigned long g${index}`, index),
		);
		return [...helpers, this.#function("unsigned long f", 2)].join("\n");
	}

	#function(head: string, callable: number): string {
		const locals = Array.from(
			{ length: 6 },
			(_, i) => `\t${this.#random.pick(TYPES)} v${i} = ${this.#random.pick("abcd".split(""))};`,
		);
		const array = `\t${this.#random.pick(TYPES)} m[16];\n\tfor (int i = 0; i < 16; i++) m[i] = a * (i + 1) ^ b;`;
		const body = Array.from({ length: 5 }, () => this.#statement(2, callable));
		const sum = "v0 + v1 * 3ul + v2 * 5ul + v3 * 7ul + v4 * 11ul + v5 * 13ul";
		return [
			`${head}(unsigned long a, unsigned long b, unsigned long c, unsigned long d)`,
			"{",
			...locals,
			array,
			...body,
			`\tunsigned long s = ${sum};`,
			"\tfor (int i = 0; i < 16; i++) s = s * 31 + m[i];",
			"\treturn s;",
			"}",
		].join("\n");
	}

	#expression(depth: number): string {
		const random = this.#random;
		if (depth === 0 || random.below(5) === 0) {
			return random.pick([
				`v${random.below(6)}`,
				"a",
				"b",
				"c",
				"d",
				`${random.below(1000)}`,
				`0x${random.word().toString(16)}ul`,
			]);
		}
		const [x, y] = [this.#expression(depth - 1), this.#expression(depth - 1)];
		switch (random.below(9)) {
			case 0:
				return `((long)(${x}) / (long)((${y}) & 0xffff | 1))`;
			case 1:
				return `((unsigned)(${x}) % (unsigned)((${y}) & 0xff | 1))`;
			case 2:
				return `((${x}) ${random.pick(["<<", ">>"])} ((${y}) & ${random.pick([31, 63])}))`;
			case 3:
				return `(${random.pick(["~", "-", "!"])}(${x}))`;
			case 4:
				return `((${random.pick(TYPES)})(${x}))`;
			case 5:
				return `m[(${x}) & 15]`;
			case 6:
				return `((${x}) ? (${y}) : v${random.below(6)})`;
			default:
				return `((${x}) ${random.pick(BINARY)} (${y}))`;
		}
	}

	#statement(depth: number, callable: number): string {
		const random = this.#random;
		const assign = `\tv${random.below(6)} ${random.pick(["=", "+=", "-=", "^=", "|=", "*="])} ${this.#expression(3)};`;
		if (depth === 0) return assign;
		const inner = () => this.#statement(depth - 1, callable);
		switch (random.below(7)) {
			case 0:
				return `\tif (${this.#expression(2)}) {\n${inner()}\n${inner()}\n\t} else {\n${inner()}\n\t}`;
			case 1: {
				const i = `i${this.#loops++}`;
				return `\tfor (int ${i} = 0; ${i} < ${2 + random.below(9)}; ${i}++) {\n${inner()}\n\tm[${i}] ^= v${random.below(6)};\n\t}`;
			}
			case 2:
				return `\tm[(${this.#expression(2)}) & 15] += ${this.#expression(2)};`;
			case 3: {
				const cases = Array.from({ length: 6 }, (_, i) => `\tcase ${i}:\n${inner()}\n\tbreak;`);
				return `\tswitch ((${this.#expression(2)}) & 7) {\n${cases.join("\n")}\n\tdefault:\n${assign}\n\t}`;
			}
			case 4:
				return callable === 0 ? assign : `\tv${random.below(6)} += g${random.below(callable)}(v0, v1, a, v3);`;
			case 5:
				return `\t__builtin_memcpy(&m[8], &m[0], ${random.below(9)});`;
			default:
				return assign;
		}
	}
}
