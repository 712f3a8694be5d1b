/** Values that a scenario or a C module gives for the fields of one struct, by name. */
export type FieldValues = Readonly<Record<string, boolean | number>>;

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
		of: ({ fields }) => (fields[name] === undefined ? initial : convert(fields[name])),
		set: (struct, value) => {
			struct.fields = { ...struct.fields, [name]: value };
		},
	};
}

/** `replace: 3` is true, too: so a scenario with tags also runs under designs without tags. */
export function bool(name: string, initial: boolean, text: string): Field<boolean> {
	return field(name, "bool", initial, text, Boolean);
}

/** A number; `true` is 1. */
export function u32(name: string, initial: number, text: string): Field<number> {
	return field(name, "u32", initial, text, Number);
}
