import {
	type Document,
	isAlias,
	isMap,
	isScalar,
	isSeq,
	LineCounter,
	type Node,
	type Pair,
	parseDocument,
	type YAMLMap,
} from "yaml";
import { isTooDeep, KlpemuError, MAX_DEPTH } from "../../base/index.js";
import { type Position, whereOf } from "../types.js";
import { checkKind } from "./kind.js";

/** Keys and indices from the top of the document. */
export type Path = readonly (string | number)[];

/** JavaScript objects treat these keys specially and valibot drops them, so they are refused as names. */
const RESERVED = new Set(["__proto__", "prototype", "constructor"]);

const TOO_DEEP = `lists and maps nest deeper than ${MAX_DEPTH}`;

/** A parsed YAML file with the position of each value. */
export class ScenarioDocument {
	readonly fileName: string;
	/** Plain values. Whole numbers are `number` where that is exact, else `bigint`. */
	readonly value: unknown;
	readonly #document: Document;
	readonly #lines: LineCounter;
	readonly #index = new WeakMap<YAMLMap, ReadonlyMap<string, Pair>>();

	/** Throws `SCENARIO_SYNTAX`. */
	constructor(text: string, fileName: string) {
		this.fileName = fileName;
		this.#lines = new LineCounter();
		checkKind(text, fileName);
		this.#document = this.#parse(text);
		const problem = this.#document.errors[0] ?? this.#document.warnings[0];
		if (problem !== undefined) throw this.#syntax(problem.message, problem.pos[0]);
		this.value = this.#plainValue();
	}

	#parse(text: string): Document {
		try {
			return parseDocument(text, {
				intAsBigInt: true,
				lineCounter: this.#lines,
				prettyErrors: false,
				// yaml compares each key with all others; #checkKeys() does the same in linear time.
				uniqueKeys: false,
			});
		} catch (cause) {
			throw this.#refused(cause);
		}
	}

	#plainValue(): unknown {
		let value: unknown;
		try {
			this.#checkKeys(this.#document.contents);
			value = this.#document.toJS();
		} catch (cause) {
			if (cause instanceof KlpemuError) throw cause;
			throw this.#refused(cause);
		}
		if (isTooDeep(value)) throw this.#syntax(TOO_DEEP, 0);
		return exactNumbers(value);
	}

	/** The error for an exception of the parser: a RangeError means too deep recursion, every other one is about aliases. */
	#refused(cause: unknown): KlpemuError {
		return this.#syntax(cause instanceof Error && !(cause instanceof RangeError) ? cause.message : TOO_DEEP, 0);
	}

	#syntax(message: string, offset: number): KlpemuError {
		const reason = /call stack/.test(message) ? TOO_DEEP : message;
		return new KlpemuError("SCENARIO_SYNTAX", `not valid YAML: ${reason}`, {
			where: whereOf(this.fileName, this.#at(offset)),
			hint: "a scenario is one YAML 1.2 document, a map at its top",
		});
	}

	#checkKeys(node: unknown): void {
		if (isSeq(node)) for (const item of node.items) this.#checkKeys(item);
		if (!isMap(node)) return;
		const names = new Set<string>();
		for (const { key, value } of node.items) {
			const name = isScalar(key) ? String(key.value) : undefined;
			const offset = (key as Node | null)?.range?.[0] ?? 0;
			if (name !== undefined && names.has(name)) throw this.#syntax("Map keys must be unique", offset);
			if (name !== undefined) names.add(name);
			if (name === undefined || RESERVED.has(name)) {
				throw new KlpemuError("SCENARIO_BAD_VALUE", `${name ?? "a list or a map"} cannot be a key`, {
					where: whereOf(this.fileName, this.#at(offset)),
					hint: "choose another name",
				});
			}
			this.#checkKeys(value);
		}
	}

	#at(offset: number): Position {
		const { line, col } = this.#lines.linePos(offset);
		return { line: Math.max(1, line), column: Math.max(1, col) };
	}

	/**
	 * Position of a value, or of the key that leads to it. A value that is not in the file has the position of its
	 * nearest parent.
	 */
	position(path: Path, at: "key" | "value" = "value"): Position {
		let node: unknown = this.#document.contents;
		let offset = isNode(node) ? (node.range?.[0] ?? 0) : 0;
		for (const [depth, step] of path.entries()) {
			if (isAlias(node)) node = node.resolve(this.#document);
			let key: unknown;
			if (isMap(node)) {
				const pair = this.#pairs(node).get(String(step));
				key = pair?.key;
				node = pair?.value;
			} else if (isSeq(node)) {
				node = node.items[Number(step)];
			} else break;
			const wanted = at === "key" && depth === path.length - 1 && isNode(key) ? key : (node ?? key);
			if (!isNode(wanted)) break;
			offset = wanted.range?.[0] ?? offset;
		}
		return this.#at(offset);
	}

	/** The entries of a map by key; of a large map, a search for each key would take quadratic time. */
	#pairs(map: YAMLMap): ReadonlyMap<string, Pair> {
		const known = this.#index.get(map);
		if (known !== undefined) return known;
		const pairs = new Map<string, Pair>();
		for (const pair of map.items) if (isScalar(pair.key)) pairs.set(String(pair.key.value), pair);
		this.#index.set(map, pairs);
		return pairs;
	}

	/** An error about one place of the file. */
	error(code: string, path: Path, message: string, hint?: string, at: "key" | "value" = "value"): KlpemuError {
		const where = whereOf(this.fileName, this.position(path, at));
		return new KlpemuError(code, message, { where, hint });
	}
}

function isNode(value: unknown): value is Node {
	return typeof value === "object" && value !== null && "range" in value;
}

function exactNumbers(value: unknown): unknown {
	if (typeof value === "bigint") {
		const number = Number(value);
		return Number.isSafeInteger(number) ? number : value;
	}
	if (Array.isArray(value)) return value.map(exactNumbers);
	if (typeof value === "object" && value !== null) {
		return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, exactNumbers(item)]));
	}
	return value;
}

/** `livepatches.lp1.funcs`, `step 4: insmod`: a path for messages. Steps count from 1, as in reports. */
export function pathName(path: Path): string {
	if (path[0] === "steps" && typeof path[1] === "number") {
		const rest = pathName(path.slice(2));
		return rest === "" ? `step ${path[1] + 1}` : `step ${path[1] + 1}: ${rest}`;
	}
	return path.map((part, index) => (typeof part === "number" ? `[${part}]` : index === 0 ? part : `.${part}`)).join("");
}
