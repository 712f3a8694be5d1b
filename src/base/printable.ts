/**
 * Characters that a terminal may take for a command: control characters, and marks that change the direction of text.
 */
const CONTROL = /(?![\t\n])[\p{Cc}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/**
 * Text from a file or from guest code as it may be written to a terminal: each control character is shown as `\x1b` or `\u202e`. Tabs
 * and newlines stay.
 */
export function printable(text: string): string {
	return text.replace(CONTROL, (character) => {
		const code = character.charCodeAt(0).toString(16);
		return code.length > 2 ? `\\u${code.padStart(4, "0")}` : `\\x${code.padStart(2, "0")}`;
	});
}

/** A copy of plain data in which every text is {@link printable}, keys included. */
export function printableData<T>(value: T): T {
	if (typeof value === "string") return printable(value) as T & string;
	if (Array.isArray(value)) return value.map(printableData) as T & unknown[];
	if (typeof value !== "object" || value === null) return value;
	const entries = Object.entries(value).map(([key, entry]) => [printable(key), printableData(entry)]);
	return Object.fromEntries(entries) as T;
}
