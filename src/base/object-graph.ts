import { Hash } from "./hash.js";
import { declarationOf, isPlain, type StateDeclaration } from "./state.js";

type Fields = Record<string, unknown>;
type TypedArray = Uint8Array | Int32Array | BigUint64Array;

type SavedObject =
	| {
			readonly kind: "fields";
			readonly of: Fields;
			readonly names: readonly string[];
			readonly values: readonly unknown[];
			/** Undefined for an object without a class. */
			readonly declaration: StateDeclaration | undefined;
	  }
	| { readonly kind: "array"; readonly of: unknown[]; readonly values: readonly unknown[] }
	| {
			readonly kind: "map";
			readonly of: Map<unknown, unknown>;
			readonly values: readonly (readonly [unknown, unknown])[];
	  }
	| { readonly kind: "set"; readonly of: Set<unknown>; readonly values: readonly unknown[] }
	| { readonly kind: "words"; readonly of: TypedArray; readonly values: TypedArray };

/** Result of {@link saveObjects}. */
export type SavedObjects = readonly SavedObject[];

/**
 * The state of `root` and of all objects that it leads to, by the declarations of their classes (see {@link StateFields}). What a
 * function has captured is not seen. Throws for an object of a class that declares nothing.
 */
export function saveObjects(root: object): SavedObjects {
	const saved: SavedObject[] = [];
	const seen = new Set<object>([root]);
	const add = (value: unknown) => {
		if (typeof value === "object" && value !== null) seen.add(value);
	};
	// A loop over a Set also visits the objects that are added during the loop.
	for (const object of seen) {
		const one = saveObject(object, add, () => pathTo(root, object));
		saved.push(one);
		if (one.kind !== "fields" || one.declaration === undefined) continue;
		for (const name of one.declaration.logs) {
			const of = one.of[name] as unknown[];
			saved.push({ kind: "array", of, values: of.slice() });
		}
	}
	return saved;
}

function saveObject(object: object, add: (value: unknown) => void, where: () => string): SavedObject {
	if (Array.isArray(object)) {
		for (const item of object) add(item);
		return { kind: "array", of: object, values: object.slice() };
	}
	if (object instanceof Map) {
		for (const [key, value] of object) {
			add(key);
			add(value);
		}
		return { kind: "map", of: object, values: [...object] };
	}
	if (object instanceof Set) {
		for (const item of object) add(item);
		return { kind: "set", of: object, values: [...object] };
	}
	if (ArrayBuffer.isView(object)) {
		const of = object as TypedArray;
		return { kind: "words", of, values: of.slice() };
	}
	const declaration = stateOf(object, where);
	const of = object as Fields;
	const walked = walkedFields(object, declaration);
	const names = declaration === undefined || declaration.logs.length === 0 ? walked : [...walked, ...declaration.logs];
	for (const name of walked) add(of[name]);
	const values = names.map((name) => {
		if (of[name] === undefined && !(name in of)) {
			throw new Error(`class ${nameOf(object)} declares the state '${name}', but has no such field`);
		}
		return of[name];
	});
	return { kind: "fields", of, names, values, declaration };
}

function walkedFields(object: object, declaration: StateDeclaration | undefined): readonly string[] {
	return declaration === undefined ? Object.keys(object) : declaration.walked(object);
}

/** Restores the fields of each saved object. No object is replaced by another, so that references stay valid. */
export function restoreObjects(saved: SavedObjects): void {
	for (const one of saved) restoreObject(one);
	for (const one of saved) if (one.kind === "fields") one.declaration?.dropCaches?.(one.of as never);
}

function restoreObject(one: SavedObject): void {
	switch (one.kind) {
		case "fields": {
			const { of, names, values, declaration } = one;
			for (let i = 0; i < names.length; i++) {
				const name = names[i]!;
				if (of[name] !== values[i]) of[name] = values[i];
			}
			if (declaration === undefined && Object.keys(of).length !== names.length) {
				for (const name of Object.keys(of)) if (!names.includes(name)) delete of[name];
			}
			break;
		}
		case "array": {
			const { of, values } = one;
			if (of.length !== values.length) of.length = values.length;
			for (let i = 0; i < values.length; i++) if (of[i] !== values[i]) of[i] = values[i];
			break;
		}
		case "map":
			if (isSameMap(one.of, one.values)) break;
			one.of.clear();
			for (const [key, value] of one.values) one.of.set(key, value);
			break;
		case "set":
			if (isSameSet(one.of, one.values)) break;
			one.of.clear();
			for (const value of one.values) one.of.add(value);
			break;
		case "words":
			one.of.set(one.values as never);
	}
}

/** Most have not changed since they were saved, and to look takes less time than to fill them again. */
function isSameMap(map: Map<unknown, unknown>, values: readonly (readonly [unknown, unknown])[]): boolean {
	if (map.size !== values.length) return false;
	let i = 0;
	for (const [key, value] of map) {
		const [savedKey, savedValue] = values[i++]!;
		if (key !== savedKey || value !== savedValue) return false;
	}
	return true;
}

/** In the same order, as they are visited. */
function isSameSet(set: Set<unknown>, values: readonly unknown[]): boolean {
	if (set.size !== values.length) return false;
	let i = 0;
	for (const value of set) if (value !== values[i++]) return false;
	return true;
}

/** What comes next in the hashed sequence. The kind and what follows it tell where the next one begins. */
const KIND = {
	array: 1,
	map: 2,
	set: 3,
	words: 4,
	fields: 5,
	instance: 6,
	reference: 7,
	text: 8,
	integer: 9,
	/** Other values, as text: a fraction, undefined, true. */
	other: 10,
	function: 11,
} as const;

/** Two graphs have the same key exactly if they are equal, object for object, in all keyed fields. */
export function keyOf(root: object): string {
	return keyPartsOf(root).join();
}

/** The key in its two parts, each a 128-bit hash: see {@link StateFields.apart}. */
export function keyPartsOf(root: object): [string, string] {
	const hash = new Hash();
	const apart = new Hash();
	/** Number of each object, in the order of the walk. The number stands for the object in the key. */
	const numbers = new Map<object, number>([[root, 0]]);
	const add = (value: unknown) => {
		if (typeof value === "object" && value !== null) {
			let number = numbers.get(value);
			if (number === undefined) {
				number = numbers.size;
				numbers.set(value, number);
			}
			hash.addInt(KIND.reference);
			hash.addInt(number);
		} else addValue(value, hash);
	};
	for (const object of numbers.keys()) addObject(object, hash, apart, add, () => pathTo(root, object));
	return [hash.digest(), apart.digest()];
}

function addValue(value: unknown, hash: Hash): void {
	if (typeof value === "function") hash.addInt(KIND.function);
	else if (typeof value === "number" && (value | 0) === value) {
		hash.addInt(KIND.integer);
		hash.addInt(value);
	} else {
		hash.addInt(typeof value === "string" ? KIND.text : KIND.other);
		hash.add(String(value));
	}
}

/** The number of values follows the kind, or follows from the class. */
function addObject(object: object, hash: Hash, apart: Hash, add: (value: unknown) => void, where: () => string): void {
	if (Array.isArray(object)) {
		addHead(KIND.array, object.length, hash);
		for (const item of object) add(item);
	} else if (object instanceof Map) {
		addHead(KIND.map, object.size, hash);
		for (const [key, value] of object) {
			add(key);
			add(value);
		}
	} else if (object instanceof Set) {
		addHead(KIND.set, object.size, hash);
		for (const item of object) add(item);
	} else if (ArrayBuffer.isView(object)) {
		hash.addInt(KIND.words);
		hash.add((object as TypedArray).join());
	} else {
		const declaration = stateOf(object, where);
		const of = object as Fields;
		if (declaration === undefined) {
			const names = Object.keys(object);
			addHead(KIND.fields, names.length, hash);
			for (const name of names) {
				hash.add(name);
				add(of[name]);
			}
		} else {
			hash.addInt(KIND.instance);
			hash.add(declaration.name);
			const field = declaration.apart?.field;
			for (const name of declaration.keyed(object)) if (name !== field) add(of[name]);
			if (field !== undefined) apart.add(declaration.apart!.text(object as never));
		}
	}
}

function addHead(kind: number, size: number, hash: Hash): void {
	hash.addInt(kind);
	hash.addInt(size);
}

/**
 * Undefined for an object without a class. Throws for a class that declares nothing; `where` gives the object's place
 * for the message.
 */
function stateOf(object: object, where: () => string): StateDeclaration | undefined {
	if (isPlain(object)) return undefined;
	const declaration = declarationOf(object);
	if (declaration !== undefined) return declaration;
	throw new Error(
		`class ${nameOf(object)} does not declare its state (base/state.ts), and there is an object of it at ${where()}`,
	);
}

/** For messages. A class that declares nothing has another name in the command, whose names are short. */
function nameOf(object: object): string {
	return declarationOf(object)?.name ?? (object.constructor.name || Object.prototype.toString.call(object));
}

/** `Machine.klp.patching.klp_ops[2]`: the path from `root` to an object, for messages. */
function pathTo(root: object, target: object): string {
	const paths = new Map<object, string>([[root, nameOf(root)]]);
	for (const [object, path] of paths) {
		if (object === target) return path;
		for (const [name, value] of childrenOf(object)) {
			if (typeof value === "object" && value !== null && !paths.has(value)) paths.set(value, path + name);
		}
	}
	return "an unknown place";
}

function* childrenOf(object: object): Generator<readonly [string, unknown]> {
	if (Array.isArray(object) || object instanceof Set) {
		for (const [index, item] of [...object].entries()) yield [`[${index}]`, item];
	} else if (object instanceof Map) {
		for (const [index, pair] of [...object].entries()) for (const item of pair) yield [`[${index}]`, item];
	} else {
		const names = isPlain(object) ? Object.keys(object) : (declarationOf(object)?.walked(object) ?? []);
		for (const name of names) yield [`.${name}`, (object as Fields)[name]];
	}
}
