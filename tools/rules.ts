import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { parse } from "yaml";

/** A test with its full title: the titles of its describes come first. */
export interface TestTitle {
	/** Relative to the project. */
	readonly file: string;
	readonly title: string;
}

interface Section {
	readonly section: string;
	readonly source: string;
	readonly rules: Readonly<Record<string, string>>;
}

const TAG = /\[rule (\d+\.\d+)\]/g;

/**
 * The titles of all tests in a file. A title of `test.each` with a table in place is given once for each row, with the row's
 * values. If the values of a `describe.each` are defined elsewhere and its title is only a placeholder, the title is
 * left out.
 */
export function testTitles(source: string, file: string): TestTitle[] {
	const tree = ts.createSourceFile(file, source, ts.ScriptTarget.Latest, false);
	const found: TestTitle[] = [];
	const visit = (node: ts.Node, outer: readonly string[]): void => {
		const call = ts.isCallExpression(node) ? titled(node, tree) : undefined;
		if (call?.kind === "test") {
			for (const title of call.titles) found.push({ file, title: [...outer, title].join(" › ") });
		}
		const [title] = call?.titles ?? [];
		const inner = call?.kind === "describe" && title !== "" ? [...outer, title!] : outer;
		ts.forEachChild(node, (child) => visit(child, inner));
	};
	visit(tree, []);
	return found;
}

/** `test("title", ...)`, `describe.each(...)("title", ...)`, and the like. */
function titled(
	call: ts.CallExpression,
	tree: ts.SourceFile,
): { kind: "test" | "describe"; titles: readonly string[] } | undefined {
	const name = /^(test|it|describe)\b/.exec(call.expression.getText(tree))?.[1];
	const [title] = call.arguments;
	if (name === undefined || title === undefined || !ts.isStringLiteralLike(title)) return undefined;
	const rows = rowsOf(call.expression, tree);
	const kind = name === "describe" ? "describe" : "test";
	if (rows === undefined) return { kind, titles: [title.text] };
	if (kind === "test" && rows.length > 0) return { kind, titles: rows.map((row) => fill(title.text, row)) };
	// "on %s" has no meaning without its value.
	const rest = title.text
		.replace(PLACEHOLDER, "")
		.trim()
		.replace(/(^|\s)on$/, "");
	return { kind, titles: [rest.trim()] };
}

const PLACEHOLDER = /%[sidj]|\$\w+/g;

/**
 * The rows of `X.each([...])`, each value as its text; empty if the table is defined elsewhere; undefined without
 * `each`.
 */
function rowsOf(callee: ts.Expression, tree: ts.SourceFile): string[][] | undefined {
	if (!ts.isCallExpression(callee) || !/\.each$/.test(callee.expression.getText(tree))) return undefined;
	const [table] = callee.arguments;
	if (table === undefined || !ts.isArrayLiteralExpression(table)) return [];
	const value = (node: ts.Expression) => (ts.isStringLiteralLike(node) ? node.text : node.getText(tree));
	return table.elements.map((row) => (ts.isArrayLiteralExpression(row) ? row.elements.map(value) : [value(row)]));
}

/** Puts the values of a row in place of `%s` and the like, in order. */
function fill(title: string, row: readonly string[]): string {
	let index = 0;
	return title.replace(/%[sidj]/g, () => row[index++] ?? "");
}

/** docs/rules.md, and the errors: rules without a test, tags without a rule. */
export function rulesDocument(yaml: string, titles: readonly TestTitle[]): { text: string; problems: string[] } {
	const sections = parse(yaml) as readonly Section[];
	const tests = new Map<string, TestTitle[]>(sections.flatMap(({ rules }) => Object.keys(rules).map((id) => [id, []])));
	const problems: string[] = [];
	for (const test of titles) {
		for (const [, id] of test.title.matchAll(TAG)) {
			const list = tests.get(id!);
			if (list === undefined) problems.push(`${test.file}: there is no rule ${id}: ${test.title}`);
			else if (!list.includes(test)) list.push(test);
		}
	}
	const lines = [
		"# Rules",
		"",
		"What Linux 6.12 does, rule by rule, and the tests that hold klpemu to it. Generated from `rules.yaml` and the titles of the",
		"tests by `npm run docs:rules`; do not edit.",
	];
	for (const { section, source, rules } of sections) {
		lines.push("", `## ${section}`, "", `Source: ${source}.`, "");
		for (const [id, rule] of Object.entries(rules)) {
			const list = tests.get(id)!;
			if (list.length === 0) problems.push(`rule ${id} has no test: ${rule}`);
			lines.push(`* **${id}** ${rule}`);
			for (const { file, title } of list)
				lines.push(`  * \`${file}\`: ${title.replace(TAG, "").replace(/ +/g, " ").replace(/^ › /, "").trim()}`);
		}
	}
	const raw = lines.filter((line) => line.startsWith("  * ") && /%[sidj]\b|\$\w+ ›/.test(line));
	for (const line of raw) problems.push(`a placeholder that nothing fills: ${line.trim()}`);
	return { text: `${lines.join("\n")}\n`, problems };
}

/** The same of this project. */
export function projectRules(): { text: string; problems: string[] } {
	const root = fileURLToPath(new URL("..", import.meta.url));
	const files = readdirSync(`${root}test`, { recursive: true, encoding: "utf8" })
		.filter((name) => /\.(test|long)\.ts$/.test(name))
		.map((name) => `test/${name.replaceAll("\\", "/")}`)
		.sort();
	// To parse all tests takes seconds.
	const sources = files.map((file) => ({ file, source: readFileSync(root + file, "utf8") }));
	const tagged = sources.filter(({ source }) => source.includes("[rule "));
	const titles = tagged.flatMap(({ file, source }) => testTitles(source, file));
	return rulesDocument(readFileSync(`${root}docs/rules.yaml`, "utf8"), titles);
}
