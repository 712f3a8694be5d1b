/** The meaning of a piece of text; only this file knows its look. */
export type Role = "title" | "heading" | "dim" | "change" | "good" | "wait" | "bad" | "verdict-good" | "verdict-bad";

/** An attribute of SGR (ECMA-48, 8.3.117): the parameter that sets it, and the one that resets it. */
type Attribute = readonly [set: number, unset: number];
const BOLD: Attribute = [1, 22];
const DIM: Attribute = [2, 22];
const BLACK: Attribute = [30, 39];
const RED: Attribute = [31, 39];
const GREEN: Attribute = [32, 39];
const YELLOW: Attribute = [33, 39];
const CYAN: Attribute = [36, 39];
const WHITE: Attribute = [37, 39];
const ON_RED: Attribute = [41, 49];
const ON_GREEN: Attribute = [42, 49];

const FORMATS: Readonly<Record<Role, readonly Attribute[]>> = {
	title: [BOLD],
	heading: [BOLD],
	dim: [DIM],
	change: [CYAN],
	good: [GREEN],
	wait: [YELLOW],
	bad: [RED, BOLD],
	"verdict-good": [BLACK, ON_GREEN, BOLD],
	"verdict-bad": [WHITE, ON_RED, BOLD],
};

/** Marks text with a role; the identity if there is no colour. */
export type Paint = (role: Role, text: string) => string;

export const plain: Paint = (_role, text) => text;

/** For terminals. The caller decides if it is used, see `wantsColour`. */
export const coloured: Paint = (role, text) =>
	text === "" ? "" : FORMATS[role].reduceRight((inner, [set, unset]) => `${sgr(set)}${inner}${sgr(unset)}`, text);

const sgr = (parameter: number): string => `\x1b[${parameter}m`;

/**
 * True for a terminal. NO_COLOR (no-color.org) and FORCE_COLOR=0 switch colour off, another FORCE_COLOR switches it on.
 */
export function wantsColour(
	env: Readonly<Record<string, string | undefined>>,
	stream: { readonly isTTY?: boolean | undefined },
): boolean {
	const forced = env.FORCE_COLOR;
	if (forced !== undefined && forced !== "") return forced !== "0" && forced !== "false";
	if (env.NO_COLOR !== undefined && env.NO_COLOR !== "") return false;
	return stream.isTTY === true && env.TERM !== "dumb";
}

/** Breaks a text into lines of at most `width` columns, at spaces; longer words stand alone. */
export function wrap(text: string, width: number): string[] {
	const lines: string[] = [];
	let line = "";
	for (const word of text.split(/\s+/)) {
		if (line !== "" && line.length + 1 + word.length > width) {
			lines.push(line);
			line = word;
		} else line = line === "" ? word : `${line} ${word}`;
	}
	if (line !== "") lines.push(line);
	return lines;
}
