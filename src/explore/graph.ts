import { Hash } from "../base/index.js";

/** How an object is treated that is not simply walked. */
export interface Special {
	/** Stands for it in the key. */
	readonly name: string;
	/** The fields that count, besides; none by default. */
	readonly fields?: readonly string[];
}

type SavedObject =
	| {
			readonly kind: "fields";
			readonly of: Record<string, unknown>;
			readonly values: readonly (readonly [string, unknown])[];
	  }
	| { readonly kind: "array"; readonly of: unknown[]; readonly values: readonly unknown[] }
	| {
			readonly kind: "map";
			readonly of: Map<unknown, unknown>;
			readonly values: readonly (readonly [unknown, unknown])[];
	  }
	| { readonly kind: "set"; readonly of: Set<unknown>; readonly values: readonly unknown[] };

/** What {@link ObjectGraph.save} gives. */
export type SavedGraph = readonly SavedObject[];

/**
 * All the objects that can be reached from a few roots through their public fields: what the explorer calls the kernel's state.
 * Walking everything, instead of each class saving what it thinks matters, means that a field that somebody adds tomorrow is
 * part of the state without a word. (A field that must not be is a case for `special`.)
 */
export class ObjectGraph {
	readonly #roots: readonly object[];
	readonly #special: (value: object) => Special | undefined;

	constructor(roots: readonly object[], special: (value: object) => Special | undefined) {
		this.#roots = roots;
		this.#special = special;
	}

	/** Two states have the same key exactly if they are alike, object for object. 128 bits of hash: see docs/exploring.md. */
	key(): string {
		const hash = new Hash();
		this.#walk((part) => hash.add(part));
		return hash.digest();
	}

	/** Tells `part` of everything that a key depends on, in order. */
	#walk(part: (text: string) => void): void {
		const seen = new Map<object, number>();
		const add = (value: unknown): void => {
			if (typeof value === "function") return;
			if (typeof value !== "object" || value === null) {
				part(typeof value === "string" ? `"${value}` : String(value));
				return;
			}
			const number = seen.get(value);
			if (number !== undefined) {
				part(`#${number}`);
				return;
			}
			seen.set(value, seen.size);
			const special = this.#special(value);
			if (special !== undefined) part(special.name);
			visit(value, special, (name, child) => {
				if (name !== undefined) part(name);
				add(child);
			});
			part(")");
		};
		for (const root of this.#roots) add(root);
	}

	save(): SavedGraph {
		const saved: SavedObject[] = [];
		const seen = new Set<object>();
		const add = (value: unknown): void => {
			if (typeof value !== "object" || value === null || seen.has(value)) return;
			seen.add(value);
			const special = this.#special(value);
			saved.push(shallow(value, special));
			visit(value, special, (_name, child) => add(child));
		};
		for (const root of this.#roots) add(root);
		return saved;
	}
}

/** Makes every object what it was; no object is replaced by another, so that references to them stay good. */
export function restoreGraph(saved: SavedGraph): void {
	for (const { kind, of, values } of saved) {
		if (kind === "fields") for (const [name, value] of values) of[name] = value;
		else if (kind === "array") of.splice(0, of.length, ...values);
		else if (kind === "map") {
			of.clear();
			for (const [key, value] of values) of.set(key, value);
		} else {
			of.clear();
			for (const value of values) of.add(value);
		}
	}
}

function fieldsOf(value: object, special: Special | undefined): readonly string[] {
	return special === undefined ? Object.keys(value) : (special.fields ?? []);
}

function shallow(value: object, special: Special | undefined): SavedObject {
	if (Array.isArray(value)) return { kind: "array", of: value, values: [...value] };
	if (value instanceof Map) return { kind: "map", of: value, values: [...value] };
	if (value instanceof Set) return { kind: "set", of: value, values: [...value] };
	const of = value as Record<string, unknown>;
	// Bytes are never changed in place: text_poke and friends make new arrays.
	const names = ArrayBuffer.isView(value)
		? []
		: fieldsOf(value, special).filter((name) => typeof of[name] !== "function");
	return { kind: "fields", of, values: names.map((name) => [name, of[name]]) };
}

function visit(
	value: object,
	special: Special | undefined,
	each: (name: string | undefined, child: unknown) => void,
): void {
	if (Array.isArray(value)) for (const item of value) each(undefined, item);
	else if (value instanceof Map) {
		for (const [key, item] of value) {
			each(undefined, key);
			each(undefined, item);
		}
	} else if (value instanceof Set) for (const item of value) each(undefined, item);
	else if (ArrayBuffer.isView(value)) each(undefined, bytesOf(value));
	else {
		const of = value as Record<string, unknown>;
		for (const name of fieldsOf(value, special)) each(name, of[name]);
	}
}

function bytesOf(view: ArrayBufferView): string {
	return [...new Uint8Array(view.buffer, view.byteOffset, view.byteLength)].join();
}
