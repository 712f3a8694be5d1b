import * as v from "valibot";
import type { Design, Field, FieldValues } from "../../linux/klp/index.js";
import { flag, whole } from "../values.js";

/** A key of a scenario: several designs may have a field with this name, each with its own type. */
interface Key {
	readonly name: string;
	readonly fields: { readonly design: string; readonly field: Field }[];
}

/** The fields that designs add to a struct of livepatch, as keys of a scenario. */
export type DesignFields = readonly Key[];

/**
 * `of`: the fields of one design. A design that is written as a change of another has the same fields, which are listed
 * once.
 */
export function designFields(designs: readonly Design[], of: (design: Design) => readonly Field[]): DesignFields {
	const keys = new Map<string, Key>();
	for (const design of designs) {
		for (const field of of(design)) {
			const key = keys.get(field.name) ?? { name: field.name, fields: [] };
			keys.set(field.name, key);
			if (!key.fields.some((other) => other.field === field)) key.fields.push({ design: design.name, field });
		}
	}
	return [...keys.values()];
}

const u32 = whole(0, 0xffffffff);

/** Entries of the schema of a livepatch, or of one of its functions. */
export function fieldEntries(struct: string, keys: DesignFields) {
	const entry = ({ name, fields }: Key) => {
		const types = new Set(fields.map(({ field }) => field.type));
		const value = types.size > 1 ? v.union([flag, u32]) : types.has("bool") ? flag : u32;
		const texts = fields.map(({ design, field }) => `${field.text} (${design})`);
		return [name, v.optional(v.pipe(value, v.description(`${struct}.${name}: ${texts.join("; ")}`)))] as const;
	};
	return Object.fromEntries(keys.map(entry));
}

/** The values of the keys that a scenario gives. */
export function fieldValues(keys: DesignFields, raw: object): FieldValues {
	const given = raw as Readonly<Record<string, boolean | number | undefined>>;
	const values: Record<string, boolean | number> = {};
	for (const { name } of keys) {
		const value = given[name];
		if (value !== undefined) values[name] = value;
	}
	return values;
}
