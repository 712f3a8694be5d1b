import { KlpemuError } from "../../base/index.js";

/** The kind of a text that is not a scenario; undefined: it may be one. */
function kindOf(text: string, fileName: string): string | undefined {
	if (text.startsWith("\x7fELF")) return "an object (ELF)";
	// biome-ignore lint/suspicious/noControlCharactersInRegex: a text file has none of them
	if (/[\x00-\x08\x0e-\x1a]/.test(text)) return "a binary file";
	if (text.startsWith("klpemu schedule ")) return "a schedule: klpemu replay makes its moves";
	if (/\.[chS]$/.test(fileName) || /^#\s*include\s*[<"]/m.test(text)) return "a C or assembly source";
	return /^\s*\{/.test(text) ? kindOfJson(text) : undefined;
}

/** JSON is YAML as well: a scenario may be written in it, but a report is none. */
function kindOfJson(text: string): string | undefined {
	let value: object;
	try {
		value = JSON.parse(text) as object;
	} catch {
		return undefined;
	}
	if ("schema" in value && "results" in value) return "a report of klpemu explore";
	return "schema" in value && "verdict" in value ? "a report of klpemu run" : undefined;
}

/** Throws `SCENARIO_SYNTAX` for a text that is something else. */
export function checkKind(text: string, fileName: string): void {
	const kind = kindOf(text, fileName);
	if (kind === undefined) return;
	throw new KlpemuError("SCENARIO_SYNTAX", `not a scenario, but ${kind}`, {
		where: fileName,
		hint: "a scenario is a YAML map with title, vmlinux and steps; sources and objects are named in it",
	});
}
