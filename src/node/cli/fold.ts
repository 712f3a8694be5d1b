import { wrap } from "../../report/index.js";
import type { Io } from "./command.js";

/** Columns of the terminal; undefined: it is none, or does not say. */
export function columnsOf({ stdout, env }: Pick<Io, "stdout" | "env">): number | undefined {
	return stdout.columns ?? (Number(env.COLUMNS) || undefined);
}

/** Commands and JSON, which are there to be copied. */
const CODE = /^\s*(?:klpemu |['"{[])/;

/** Folds lines that are longer than the terminal is wide, but no code. */
export function foldTo(text: string, columns: number | undefined): string {
	if (columns === undefined) return text;
	return text
		.split("\n")
		.flatMap((line) => (line.length <= columns || CODE.test(line) ? [line] : fold(line, columns)))
		.join("\n");
}

/** The further lines begin where the text of the first one does: `  --option FILE   text`, `  key: text`. */
function fold(line: string, columns: number): string[] {
	const [, left = ""] = /^(\s*\S(?:.*?\S)?\s{2,})\S/.exec(line) ?? [];
	const [indent = ""] = /^\s*/.exec(line) ?? [];
	const head = left !== "" && left.length < columns / 2 ? left : indent;
	const rest = head === left ? left.length : indent.length + (indent === "" ? 0 : 2);
	const lines = wrap(line.slice(head.length), columns - Math.max(head.length, rest));
	return lines.map((part, index) => (index === 0 ? head + part : " ".repeat(rest) + part));
}
