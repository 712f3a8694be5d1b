/** Values that a scenario or a C module gives for the fields of one struct, by name. */
export type FieldValues = Readonly<Record<string, boolean | number>>;

/** Of a key: equal values in the same order have the same text. */
export function textOf(fields: FieldValues): string {
	let text = "";
	for (const name in fields) text += `${name}=${fields[name]} `;
	return text;
}

/** How often a field was read or written so far: what happened while this has not changed depends on none. */
export const fieldAccesses = { count: 0 };

/** A struct of the kernel that designs add fields to: klp_patch, klp_func. */
export interface WithFields {
	fields: FieldValues;
}

/** A field that a replace design adds to a struct. The core and the module loader carry its value, and only the design reads it. */
export interface Field<T extends boolean | number = boolean | number> {
	readonly name: string;
	/** Its C type, for messages and the schema of scenarios. */
	readonly type: "bool" | "u32";
	/** One sentence, or less. */
	readonly text: string;
	/** Its value, or the default if no value is given. */
	of(struct: WithFields): T;
	set(struct: WithFields, value: T): void;
}

/**
 * Treatment of a key that another design has. `write`: the key of this design with the same meaning, which must be given too.
 * `unread`: the reason why it does not need such a key.
 */
export type ForeignKey = { readonly write: string } | { readonly unread: string };

/** The keys of a livepatch under one design. */
export interface DesignKeys {
	readonly name: string;
	/** The fields that it adds to struct klp_patch. */
	readonly fields: readonly Field[];
	/** The fields that it adds to struct klp_func. */
	readonly funcFields?: readonly Field[];
	/** By key of a livepatch, `funcs.KEY` for one of its functions. A key that is neither here nor its own is refused. */
	readonly foreign?: Readonly<Record<string, ForeignKey>>;
}

/** Whether a value can be one of a field: `false` and 0 are the same in C, but `true` is no tag, and a tag is no `bool`. */
function fits({ type }: Field, value: boolean | number): boolean {
	return typeof value === (type === "bool" ? "boolean" : "number") || Number(value) === 0;
}

/** Why a design refuses a key, and what to write. */
export interface Refusal {
	readonly message: string;
	readonly hint: string;
}

/**
 * Whether a design can do with `key: value`; undefined: it can, or needs it not. `given`: whether another key is given, too. A key of
 * a function is written `funcs.KEY`.
 */
export function refusalOf(
	design: DesignKeys,
	key: string,
	value: boolean | number,
	given: (key: string) => boolean,
): Refusal | undefined {
	const own = fieldsOf(design).find(([name]) => name === key)?.[1];
	if (own !== undefined) {
		if (fits(own, value)) return undefined;
		const message = `'${key}' is ${value}, and under the design '${design.name}' it is a ${own.type}: ${own.text}`;
		return { message, hint: sectionFor(design.name, key) };
	}
	const foreign = design.foreign?.[key];
	if (foreign !== undefined && ("unread" in foreign || given(foreign.write))) return undefined;
	const message = `'${key}' is no key of the design '${design.name}'`;
	const keys = fieldsOf(design).map(([name]) => name);
	if (foreign === undefined) {
		const list = keys.length === 0 ? "it has none" : `its keys are ${keys.join(", ")}`;
		return { message, hint: `${list}; designs: { ${design.name}: { ... } } says what the livepatch has there instead` };
	}
	return {
		message,
		hint: `${foreign.write} says it there: write it, too, or ${sectionFor(design.name, foreign.write)}`,
	};
}

function fieldsOf({ fields, funcFields = [] }: DesignKeys): [string, Field][] {
	return [
		...fields.map((one): [string, Field] => [one.name, one]),
		...funcFields.map((one): [string, Field] => [`funcs.${one.name}`, one]),
	];
}

function sectionFor(design: string, key: string): string {
	const [name, ofFunc] = key.split(".");
	const entry = ofFunc === undefined ? `${name}: ...` : `funcs: { FUNCTION: { ${ofFunc}: ... } }`;
	return `give the livepatch designs: { ${design}: { ${entry} } }`;
}

function field<T extends boolean | number>(
	name: string,
	type: Field["type"],
	initial: T,
	text: string,
	convert: (value: boolean | number) => T,
): Field<T> {
	return {
		name,
		type,
		text,
		of: ({ fields }) => {
			fieldAccesses.count++;
			return fields[name] === undefined ? initial : convert(fields[name]);
		},
		set: (struct, value) => {
			fieldAccesses.count++;
			struct.fields = { ...struct.fields, [name]: value };
		},
	};
}

export function bool(name: string, initial: boolean, text: string): Field<boolean> {
	return field(name, "bool", initial, text, Boolean);
}

export function u32(name: string, initial: number, text: string): Field<number> {
	return field(name, "u32", initial, text, Number);
}
