import { KlpemuError } from "../base/index.js";
import type { UnwindRow } from "../elf/index.js";

/** Hardware number of rsp. */
const RSP = 4;

/** A source as Keystone takes it, line by line as the user wrote it. */
export interface PreparedSource {
	readonly lines: readonly string[];
	/** Labels, in order. */
	readonly labels: readonly string[];
	/** Hints, each before the statement of line `line` (0-based). */
	readonly hints: readonly { readonly line: number; readonly row: UnwindRow | undefined }[];
	/** Names that instructions refer to and that neither labels nor .set define. */
	readonly references: ReadonlySet<string>;
}

const NAME = "[A-Za-z_.][\\w.$]*";

/**
 * Translates AT&T source for Keystone, whose syntax differs from that of GNU as: comments are removed, decimal numbers
 * become hexadecimal (Keystone reads bare digits as hexadecimal), and UNWIND_HINT lines become empty. The number of
 * lines stays the same, for messages. Throws `ASM_BAD_HINT` and `ASM_UNSUPPORTED`.
 */
export function prepareSource(source: string, fileName: string): PreparedSource {
	const lines: string[] = [];
	const labels: string[] = [];
	const constants = new Map<string, number>();
	const macros = new Set<string>();
	const macroArguments = new Set<string>();
	const hints: { line: number; row: UnwindRow | undefined }[] = [];
	const used = new Set<string>();
	let inMacro = false;
	for (const [index, raw] of stripComments(source).split("\n").entries()) {
		const where = `${fileName}:${index + 1}`;
		const hint = /^\s*UNWIND_HINT\s+(.*?)\s*$/.exec(raw);
		if (hint !== null) {
			if (inMacro) throw bad("ASM_BAD_HINT", "an UNWIND_HINT inside a macro has no address of its own", where);
			hints.push({ line: index, row: parseHint(hint[1]!, constants, where) });
			lines.push("");
			continue;
		}
		const line = hexadecimal(raw);
		lines.push(line);
		inMacro = trackMacro(line, inMacro, macros, macroArguments);
		const constant = new RegExp(`^\\s*\\.set\\s+(${NAME})\\s*,\\s*(.*?)\\s*$`).exec(line);
		if (constant !== null) {
			constants.set(constant[1]!, evaluate(constant[2]!, constants, where));
			continue;
		}
		let rest = line;
		for (;;) {
			const label = new RegExp(`^\\s*(${NAME})\\s*:`).exec(rest);
			if (label === null) break;
			labels.push(label[1]!);
			rest = rest.slice(label[0].length);
		}
		for (const name of operandNames(rest)) used.add(name);
	}
	const known = new Set([...labels, ...constants.keys(), ...macros, ...macroArguments]);
	return { lines, labels, hints, references: new Set([...used].filter((name) => !known.has(name))) };
}

function bad(code: string, message: string, where: string): KlpemuError {
	return new KlpemuError(code, message, { where });
}

/** Both kinds of comments, with their newlines kept. */
function stripComments(source: string): string {
	return source
		.replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]+/g, " "))
		.replace(/\/\/[^\n]*|^\s*#[^\n]*/gm, "");
}

function hexadecimal(line: string): string {
	return line.replace(/(?<![\w.\\]|\w\$)([1-9]\d*)(?![\w.$])/g, (digits) => `0x${BigInt(digits).toString(16)}`);
}

function trackMacro(line: string, inMacro: boolean, macros: Set<string>, macroArguments: Set<string>): boolean {
	const macro = /^\s*\.macro\s+(\w+)(.*)$/.exec(line);
	if (macro !== null) {
		macros.add(macro[1]!);
		for (const argument of macro[2]!.matchAll(/[A-Za-z_]\w*/g)) macroArguments.add(argument[0]);
		return true;
	}
	return inMacro && !/^\s*\.endm\b/.test(line);
}

/** Symbols among the operands of one statement: no mnemonic, no register, no macro argument. */
function operandNames(statement: string): string[] {
	const operands = /^\s*(?:\.quad|\.long|[A-Za-z]\w*)\s+(.*)$/.exec(statement)?.[1];
	if (operands === undefined || /^\s*\./.test(statement) !== /^\s*\.(quad|long)\b/.test(statement)) return [];
	return [...operands.matchAll(new RegExp(`(?<![%\\\\\\w.])${NAME}`, "g"))].map((match) => match[0]);
}

function parseHint(text: string, constants: ReadonlyMap<string, number>, where: string): UnwindRow | undefined {
	const words = text.split(/\s+/);
	const signal = words[1] === "signal";
	if (words.length > (signal ? 2 : 1)) throw bad("ASM_BAD_HINT", `'UNWIND_HINT ${text}' is not understood`, where);
	if (words[0] === "none" && !signal) return undefined;
	if (words[0] === "undefined") {
		return { cfaRegister: RSP, cfaOffset: 0, raOffset: undefined, signal: false, saved: [] };
	}
	const offset = /^rsp\+(.+)$/.exec(words[0]!);
	if (offset === null) {
		throw bad("ASM_BAD_HINT", `'UNWIND_HINT ${text}' is neither 'undefined', 'none' nor 'rsp+N [signal]'`, where);
	}
	return {
		cfaRegister: RSP,
		cfaOffset: evaluate(hexadecimal(offset[1]!), constants, where),
		raOffset: -8,
		signal,
		saved: [],
	};
}

/** Sums and differences of numbers and .set constants. */
function evaluate(expression: string, constants: ReadonlyMap<string, number>, where: string): number {
	const terms = expression.replaceAll(" ", "").match(/[+-]?[^+-]+/g) ?? [];
	let sum = 0;
	for (const term of terms) {
		const [, sign, value] = /^([+-]?)(.*)$/.exec(term)!;
		const number = constants.get(value!) ?? (/^(0x[0-9a-f]+|0)$/i.test(value!) ? Number(value) : undefined);
		if (number === undefined) throw bad("ASM_UNSUPPORTED", `'${expression}' is no sum of numbers and constants`, where);
		sum += sign === "-" ? -number : number;
	}
	if (terms.length === 0) throw bad("ASM_UNSUPPORTED", "an expression is missing", where);
	return sum;
}
