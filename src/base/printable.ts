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

/**
 * Plain data as JSON, in which also those control characters are escaped that JSON leaves as they are: DEL, U+0080 to U+009F, and the marks
 * of {@link printable}. It is the same data.
 */
export function printableJson(value: unknown, space: number | string = 2): string {
	const escaped = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
	return JSON.stringify(value, undefined, space).replace(CONTROL, escaped);
}

/** A copy of plain data in which every text is {@link printable}, keys included. */
export function printableData<T>(value: T): T {
	if (typeof value === "string") return printable(value) as T & string;
	if (Array.isArray(value)) return value.map(printableData) as T & unknown[];
	if (typeof value !== "object" || value === null) return value;
	const entries = Object.entries(value).map(([key, entry]) => [printable(key), printableData(entry)]);
	return Object.fromEntries(entries) as T;
}
