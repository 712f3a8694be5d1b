/**
 * The changing fields of an object of a class, declared once, by the class itself: `static readonly state = declareState("Name", { ... })`. All its
 * other fields are wiring: they keep their value for as long as the object lives. Plain data (arrays, Maps, Sets, typed arrays,
 * objects without a class) needs no declaration.
 */
export interface StateFields<T> {
	/**
	 * Fields that change, that lead to objects that change, or that tell objects of the class apart: saved, restored, and part
	 * of the key. `"all"`: every field is data, as in a struct of the kernel.
	 */
	readonly fields: readonly string[] | "all";
	/** Saved and restored too, but no part of the key. `"rest"`: all fields that are not in `fields`. */
	readonly unkeyed?: readonly string[] | "rest";
	/**
	 * A field whose value, as text, is the second part of the key. The text says also whose it is, so that it tells the objects apart
	 * without the first part.
	 */
	readonly apart?: { readonly field: string; readonly text: (object: T) => string } | undefined;
	/** Arrays of records that never change once they are made. Saved and restored, no part of the key, and not walked. */
	readonly logs?: readonly string[];
	/**
	 * Drops values that were computed from the fields. Runs after a restore, when the fields of all objects are
	 * restored.
	 */
	readonly dropCaches?: (object: T) => void;
}

/** Result of {@link declareState}. */
export class StateDeclaration {
	/** The name of the class, which tells its objects from those of other classes. In the command the class itself has another name. */
	readonly name: string;
	readonly logs: readonly string[];
	readonly dropCaches: ((object: never) => void) | undefined;
	readonly apart: { readonly field: string; readonly text: (object: never) => string } | undefined;
	/** Undefined: all fields. */
	readonly #keyed: readonly string[] | undefined;
	readonly #walked: readonly string[] | undefined;

	constructor(name: string, { fields, unkeyed = [], logs = [], apart, dropCaches }: StateFields<never>) {
		this.name = name;
		this.logs = logs;
		this.apart = apart;
		this.dropCaches = dropCaches;
		this.#keyed = fields === "all" ? undefined : fields;
		this.#walked = fields === "all" || unkeyed === "rest" ? undefined : [...fields, ...unkeyed];
	}

	/** Names of the fields that are part of the key. */
	keyed(object: object): readonly string[] {
		return this.#keyed ?? Object.keys(object);
	}

	/** Names of the fields that are saved, and walked. */
	walked(object: object): readonly string[] {
		return this.#walked ?? Object.keys(object);
	}
}

/** `name`: that of the class. The names of private fields are not checked here, but each time an object is saved. */
export function declareState<T>(name: string, fields: StateFields<T>): StateDeclaration {
	return new StateDeclaration(name, fields);
}

/** The declaration of an object's class; undefined: there is none. */
export function declarationOf(object: object): StateDeclaration | undefined {
	const type = object.constructor;
	// The declaration of a base class does not count: it does not name the fields of this class.
	const state = Object.hasOwn(type, "state") ? (type as { readonly state?: unknown }).state : undefined;
	return state instanceof StateDeclaration ? state : undefined;
}

/** An object without a class: all its fields are state. */
export function isPlain(object: object): boolean {
	const prototype = Object.getPrototypeOf(object);
	return prototype === Object.prototype || prototype === null;
}
