/** Completion of a scenario's keys and values, from its JSON schema. */
import type { Completion, CompletionContext, CompletionResult } from "@codemirror/autocomplete";

/** The used part of JSON Schema. */
export interface JsonSchema {
	readonly description?: string;
	readonly enum?: readonly unknown[];
	readonly const?: unknown;
	readonly type?: string | readonly string[];
	readonly properties?: Readonly<Record<string, JsonSchema>>;
	readonly additionalProperties?: JsonSchema | boolean;
	readonly items?: JsonSchema;
	readonly anyOf?: readonly JsonSchema[];
	readonly oneOf?: readonly JsonSchema[];
	readonly allOf?: readonly JsonSchema[];
}

/** All forms that a schema allows, itself included. */
function formsOf(schema: JsonSchema): JsonSchema[] {
	const more = [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.allOf ?? [])];
	return [schema, ...more.flatMap(formsOf)];
}

function below(schema: JsonSchema, key: string): JsonSchema[] {
	return formsOf(schema).flatMap((form) => {
		const named = form.properties?.[key];
		if (named !== undefined) return [named];
		return typeof form.additionalProperties === "object" ? [form.additionalProperties] : [];
	});
}

const itemsOf = (schema: JsonSchema): JsonSchema[] =>
	formsOf(schema).flatMap(({ items }) => (items === undefined ? [] : [items]));

/** The keys that enclose a place, outermost first; `[]` is an entry of a list. Block style and flow style. */
export function pathAt(before: string): string[] {
	const lines = before.split("\n");
	const last = lines.at(-1) ?? "";
	const path: string[] = [];
	let indent = last.search(/[^\s-]|$/);
	const dash = /^\s*-\s/.exec(last);
	if (dash !== null) path.unshift("[]");
	let limit = dash === null ? indent : last.indexOf("-") + 1;
	for (let i = lines.length - 2; i >= 0 && limit > 0; i--) {
		const line = lines[i]!;
		const [, lead = "", mark = "", key] = /^(\s*)(-\s+)?([\w/.-]+):(\s|$)/.exec(line) ?? [];
		if (key === undefined) continue;
		indent = lead.length + mark.length;
		if (indent >= limit) continue;
		path.unshift(key);
		limit = indent;
		if (mark !== "") {
			path.unshift("[]");
			limit = lead.length + 1;
		}
	}
	return [...path, ...flowPath(last)];
}

/** The keys of the flow maps and lists that the line leaves open. */
function flowPath(line: string): string[] {
	const open: string[] = [];
	const [, blockKey] = /^\s*(?:-\s+)?([\w/.-]+):\s*[[{]/.exec(line) ?? [];
	if (blockKey !== undefined) open.push(blockKey);
	let key: string | undefined;
	let depth = 0;
	const stack: (string | undefined)[] = [];
	for (const [token] of line.matchAll(/[\w/.-]+(?=\s*:)|[{}[\],]/g)) {
		if (token === "{" || token === "[") {
			if (depth > 0 && key !== undefined) open.push(key);
			stack.push(depth > 0 ? key : undefined);
			if (token === "[") open.push("[]");
			depth++;
			key = undefined;
		} else if (token === "}" || token === "]") {
			if (token === "]") open.pop();
			if (stack.pop() !== undefined) open.pop();
			depth--;
		} else if (token !== ",") key = token;
	}
	return depth > 0 ? open : [];
}

/** The schemas of a place. */
function schemasAt(root: JsonSchema, path: readonly string[]): JsonSchema[] {
	return path.reduce<JsonSchema[]>(
		(schemas, key) => schemas.flatMap((schema) => (key === "[]" ? itemsOf(schema) : below(schema, key))),
		[root],
	);
}

function keysOf(schemas: readonly JsonSchema[]): Completion[] {
	const found = new Map<string, Completion>();
	for (const form of schemas.flatMap(formsOf)) {
		for (const [label, { description }] of Object.entries(form.properties ?? {})) {
			found.set(label, {
				label,
				apply: `${label}: `,
				type: "property",
				...(description !== undefined && { info: description }),
			});
		}
	}
	return [...found.values()];
}

function valuesOf(schemas: readonly JsonSchema[]): Completion[] {
	const words = schemas
		.flatMap(formsOf)
		.flatMap((form) => [
			...(form.enum ?? []),
			...(form.const === undefined ? [] : [form.const]),
			...(form.type === "boolean" ? [true, false] : []),
		]);
	return [...new Set(words.map(String))].map((label) => ({ label, type: "enum" }));
}

/** The choices at the end of a text, and the number of characters of the word that they replace. */
export function choicesAt(
	root: JsonSchema,
	designs: readonly string[],
	before: string,
): { word: number; options: Completion[] } {
	const line = before.slice(before.lastIndexOf("\n") + 1);
	const word = /[\w/.-]*$/.exec(line)![0].length;
	const head = line.slice(0, line.length - word);
	const value = /([\w/.-]+):\s+$/.exec(head);
	const path = pathAt(before.slice(0, before.length - word));
	if (value === null) {
		const schemas = schemasAt(root, path);
		return { word, options: [...keysOf(schemas), ...valuesOf(schemas)] };
	}
	const key = value[1]!;
	if (key === "design") return { word, options: designs.map((label) => ({ label, type: "enum" })) };
	return { word, options: valuesOf(schemasAt(root, [...path, key])) };
}

export function completeFrom(root: JsonSchema, designs: readonly string[]) {
	return ({ state, pos, explicit }: CompletionContext): CompletionResult | null => {
		const { word, options } = choicesAt(root, designs, state.sliceDoc(0, pos));
		if (options.length === 0 || (word === 0 && !explicit)) return null;
		return { from: pos - word, options, validFor: /^[\w/.-]*$/ };
	};
}
