/** A comment, a text, a character, or one character of anything else. */
const PARTS = /\/\*[\s\S]*?(?:\*\/|$)|\/\/[^\n]*|"(?:\\[\s\S]|[^"\\\n])*"|'(?:\\[\s\S]|[^'\\\n])*'|[\s\S]/g;
/** In assembly, `#` begins a comment, unless it is a directive of the preprocessor. */
const HASH =
	/^(?!\s*#\s*(?:include|define|undef|if|ifdef|ifndef|elif|else|endif|error|pragma)\b)((?:"(?:\\.|[^"\\])*"|[^"#])*)#.*$/gm;
/** Tokens of C: the longest operator counts, so that `- -x` is not `--x`. */
const TOKENS =
	/"(?:\\[\s\S]|[^"\\\n])*"|'(?:\\[\s\S]|[^'\\\n])*'|[\w$.]+|->|\+\+|--|<<=|>>=|<<|>>|&&|\|\||[-<>=!+*/%&|^]=|##|[^\s]/g;

/**
 * C or assembly without comments and blank space, so that two texts that mean the same code are the same. Lines count in directives of
 * the preprocessor and in assembly. `includes`: the files that it includes by `"name"`.
 */
export function plainCode(
	text: string,
	isAssembly: boolean,
): { readonly code: string; readonly includes: readonly string[] } {
	const joined = text.replace(/\r\n?/g, "\n").replace(/\\\n/g, "");
	const withoutComments = joined.replace(PARTS, (part) => (/^\/[*/]/.test(part) ? " " : part));
	const lines = (isAssembly ? withoutComments.replace(HASH, "$1") : withoutComments).split("\n");
	const parts: string[] = [];
	for (const line of lines) {
		const isDirective = /^\s*#/.test(line);
		// A blank is part of a directive: `#define F(x)` is not `#define F (x)`.
		if (isDirective) parts.push(`\n${line.trim().replace(/\s+/g, " ")}\n`);
		else for (const token of line.match(TOKENS) ?? []) parts.push(token);
		if (isAssembly && line.trim() !== "") parts.push("\n");
	}
	const includes = lines.flatMap((line) => /^\s*#\s*include\s*"([^"]+)"/.exec(line)?.[1] ?? []);
	return { code: parts.join(" "), includes };
}
