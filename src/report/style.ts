import { styleText } from "node:util";

/** What a piece of text means; how it looks is decided here alone. */
export type Role = "title" | "heading" | "dim" | "change" | "good" | "wait" | "bad" | "verdict-good" | "verdict-bad";

type Format = Parameters<typeof styleText>[0];

const FORMATS: Readonly<Record<Role, Format>> = {
	title: ["bold"],
	heading: ["bold"],
	dim: ["dim"],
	change: ["cyan"],
	good: ["green"],
	wait: ["yellow"],
	bad: ["red", "bold"],
	"verdict-good": ["black", "bgGreen", "bold"],
	"verdict-bad": ["white", "bgRed", "bold"],
};

/** Marks text with a role; the identity where there is no colour. */
export type Paint = (role: Role, text: string) => string;

export const plain: Paint = (_role, text) => text;

/** For terminals. Whether to use it is the caller's decision, see `wantsColour`. */
export const coloured: Paint = (role, text) =>
	text === "" ? "" : styleText(FORMATS[role], text, { validateStream: false });

/** A terminal gets colour, unless NO_COLOR says no (no-color.org) or FORCE_COLOR yes. FORCE_COLOR=0 is a no, too. */
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
