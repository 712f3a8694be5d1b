import * as v from "valibot";
import { nearest, suggest } from "../../base/index.js";
import { type AnyStep, STEP_SCHEMAS, STEPS } from "../steps/index.js";
import type { Path } from "./document.js";
import { pathName } from "./document.js";

/** A mistake in a scenario, and its place. */
export interface Problem {
	readonly code: string;
	readonly path: Path;
	readonly at: "key" | "value";
	readonly message: string;
	readonly hint: string | undefined;
}

type Schema = v.GenericSchema;
/** The members of valibot's schemas that this file reads; each kind of schema has some of them. */
interface Parts {
	readonly type: string;
	readonly entries?: Readonly<Record<string, Schema>>;
	readonly key?: Schema;
	readonly value?: Schema;
	readonly item?: Schema;
	readonly wrapped?: Schema;
	readonly options?: readonly unknown[];
	readonly pipe?: readonly {
		readonly kind: string;
		readonly type: string;
		readonly metadata?: { expected?: string };
	}[];
}
type Value = Readonly<Record<string, unknown>>;

function isMap(value: unknown): value is Value {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * The first problem of a value, in the order of the file. valibot finds out *whether* there is one; its own report of a
 * union only says that no option fits, so this walks the schema again and follows the option that was meant.
 */
export function explain(schema: Schema, value: unknown, path: Path): Problem | undefined {
	if (v.safeParse(schema, value).success) return undefined;
	const parts = schema as unknown as Parts;
	const steps = STEP_SCHEMAS.get(schema);
	if (steps !== undefined) return explainStep(parts, steps, value, path);
	switch (parts.type) {
		case "optional":
			return explain(parts.wrapped!, value, path);
		case "union":
			return explainUnion(parts, value, path);
		case "strict_object":
			return isMap(value) ? explainObject(parts.entries!, value, path) : wrong(schema, value, path);
		case "record":
			return (isMap(value) ? explainRecord(parts, value, path) : undefined) ?? wrong(schema, value, path);
		case "array":
			if (!Array.isArray(value)) return wrong(schema, value, path);
			for (const [index, item] of value.entries()) {
				const problem = explain(parts.item!, item, [...path, index]);
				if (problem !== undefined) return problem;
			}
			return wrong(schema, value, path);
		default:
			return wrong(schema, value, path);
	}
}

function explainObject(entries: Readonly<Record<string, Schema>>, value: Value, path: Path): Problem | undefined {
	const place = path.length === 0 ? "a scenario" : `'${pathName(path)}'`;
	for (const [key, item] of Object.entries(value)) {
		const schema = Object.hasOwn(entries, key) ? entries[key] : undefined;
		if (schema === undefined) {
			return {
				code: "SCENARIO_UNKNOWN_KEY",
				path: [...path, key],
				at: "key",
				message: `unknown key '${key}' in ${place}`,
				hint: suggest(key, "keys", Object.keys(entries)),
			};
		}
		const problem = explain(schema, item, [...path, key]);
		if (problem !== undefined) return problem;
	}
	const missing = Object.keys(entries).find(
		(key) => !Object.hasOwn(value, key) && (entries[key] as unknown as Parts).type !== "optional",
	);
	if (missing === undefined) return undefined;
	const hint = `it must be ${expectedOf(entries[missing]!)}`;
	return { code: "SCENARIO_MISSING_KEY", path, at: "key", message: `${place} needs the key '${missing}'`, hint };
}

function explainRecord(parts: Parts, value: Value, path: Path): Problem | undefined {
	for (const [key, item] of Object.entries(value)) {
		if (!v.is(parts.key!, key)) {
			const message = `'${key}' in '${pathName(path)}' must be ${expectedOf(parts.key!)}`;
			return { code: "SCENARIO_BAD_VALUE", path: [...path, key], at: "key", message, hint: undefined };
		}
		const problem = explain(parts.value!, item, [...path, key]);
		if (problem !== undefined) return problem;
	}
	return undefined;
}

function explainUnion(parts: Parts, value: unknown, path: Path): Problem {
	const options = parts.options as readonly Schema[];
	const kind = Array.isArray(value) ? "array" : isMap(value) ? "map" : typeof value;
	const meant = options.filter((option) => kindOf(option) === kind);
	// If one option has this kind, the problem is inside of it; a plain value that fits no option is wrong itself.
	if (meant.length === 1 && (kind === "array" || kind === "map")) {
		const problem = explain(meant[0]!, value, path);
		if (problem !== undefined) return problem;
	}
	return wrong(parts as unknown as Schema, value, path, meant);
}

function kindOf(schema: Schema): string {
	const { type } = schema as unknown as Parts;
	if (type === "strict_object" || type === "record") return "map";
	return type === "picklist" ? "string" : type;
}

function explainStep(parts: Parts, steps: readonly AnyStep[], value: unknown, path: Path): Problem | undefined {
	const known = steps.map(({ kind }) => kind);
	const unknown = (name: string, at: Path): Problem => {
		const problem = { code: "SCENARIO_UNKNOWN_STEP", path: at, at: "key" } as const;
		const step = steps.find(({ kind }) => kind === name);
		if (step !== undefined) {
			const hint = `write it as '${name}: ${expectedOf(step.value)}'`;
			return { ...problem, message: `the step '${name}' needs a value`, hint };
		}
		const elsewhere = STEPS.some(({ kind }) => kind === name);
		const message = elsewhere ? `the step '${name}' cannot stand in a race` : `unknown step '${name}'`;
		return { ...problem, message, hint: suggest(name, "steps", known) };
	};
	if (typeof value === "string") return unknown(value, path);
	const keys = isMap(value) ? Object.keys(value) : [];
	if (!isMap(value) || keys.length === 0) {
		const message = `'${pathName(path)}' must be a step, not ${show(value)}`;
		const words = steps.flatMap((step) => (step.word === undefined ? [] : [step.kind]));
		const hint = `a word (${words.join(", ")}) or one key of: ${known.join(", ")}`;
		return { code: "SCENARIO_BAD_VALUE", path, at: "value", message, hint };
	}
	const actions = keys.filter((key) => known.includes(key));
	if (actions.length > 1) {
		const message = `a step does one thing, not both '${actions[0]}' and '${actions[1]}'`;
		const hint = "make it two entries of the list";
		return { code: "SCENARIO_BAD_VALUE", path: [...path, actions[1]!], at: "key", message, hint };
	}
	const action = actions[0];
	if (action === undefined) return unknown(keys[0]!, [...path, keys[0]!]);
	const options = parts.options as readonly Parts[];
	const option = options.find(({ entries = {} }) => Object.keys(entries)[0] === action)!;
	return explainObject(option.entries!, value, path);
}

/** The `expected` words of a schema. A pipe around a pipe has the inner one as its first part. */
function expectedWords(parts: Parts): string | undefined {
	for (const item of parts.pipe ?? []) {
		const inner = item === (parts as unknown) ? undefined : expectedWords(item as unknown as Parts);
		const words = item.metadata?.expected ?? inner;
		if (words !== undefined) return words;
	}
	return undefined;
}

/** Description of the expected value, in words. */
function expectedOf(schema: Schema): string {
	const parts = schema as unknown as Parts;
	const words = expectedWords(parts);
	if (words !== undefined) return words;
	switch (parts.type) {
		case "optional":
			return expectedOf(parts.wrapped!);
		case "picklist":
			return `one of ${(parts.options as readonly string[]).join(", ")}`;
		case "union":
			return [...new Set((parts.options as readonly Schema[]).map(expectedOf))].join(", or ");
		case "array":
			return "a list";
		case "strict_object":
		case "record":
			return "a map";
		case "null":
			return "null";
		default:
			return `a ${parts.type}`;
	}
}

/** Characters of a wrong text that a message repeats. */
const LONGEST = 80;

function show(value: unknown): string {
	if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
	if (isMap(value)) return Object.keys(value).length === 0 ? "an empty map" : "a map";
	if (typeof value !== "string") return String(value);
	return value.length > LONGEST ? `"${value.slice(0, LONGEST)}..."` : `"${value}"`;
}

function wrong(schema: Schema, value: unknown, path: Path, meant: readonly Schema[] = []): Problem {
	const name = path.length === 0 ? "a scenario" : `'${pathName(path)}'`;
	const message = `${name} must be ${expectedOf(schema)}, not ${show(value)}`;
	const words = [schema, ...meant].flatMap((option) => {
		const parts = option as unknown as Parts;
		return parts.type === "picklist" ? (parts.options as readonly string[]) : [];
	});
	// The list has each errno with and without its sign; the message shows one of them.
	const plain = words.filter((word) => !word.startsWith("-"));
	const hint = typeof value === "string" && words.length > 0 ? hintOf(value, plain) : undefined;
	return { code: "SCENARIO_BAD_VALUE", path, at: "value", message, hint };
}

/** A list as long as that of the errnos would hide the name that is meant. */
const LONG_LIST = 30;

function hintOf(value: string, words: readonly string[]): string | undefined {
	if (words.length <= LONG_LIST) return suggest(value, "allowed", words);
	const near = nearest(value, words);
	return near === undefined ? undefined : `did you mean '${near}'?`;
}
