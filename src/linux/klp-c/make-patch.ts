import { type Kaddr, toU64 } from "../../memory/index.js";
import type { GuestMemory, Heap } from "../guest/index.js";
import type { FieldValues, klp_patch } from "../klp/index.js";
import type { KernelLayout } from "../lib/index.js";
import { fieldOf } from "./scenario-keys.js";

function bytesOf(texts: readonly string[]): number {
	return texts.reduce((sum, text) => sum + Math.ceil((new TextEncoder().encode(text).length + 1) / 8) * 8, 0);
}

/**
 * The struct klp_patch of a livepatch that the scenario describes, as its C would define it: with its objects, functions, states and
 * names, in one object of the heap. `module`: its struct module. 0 if there is no memory left.
 */
export function makePatch(
	patch: klp_patch,
	module: Kaddr,
	{ layout, memory, heap }: { layout: KernelLayout; memory: GuestMemory; heap: Heap },
): Kaddr {
	const size = (struct: string) => layout.size(`struct ${struct}`);
	const texts = patch.objs.flatMap((obj) => [obj.name ?? "", ...obj.funcs.map((func) => func.old_name)]);
	const funcs = patch.objs.reduce((sum, obj) => sum + obj.funcs.length + 1, 0);
	const bytes =
		size("klp_patch") +
		(patch.objs.length + 1) * size("klp_object") +
		funcs * size("klp_func") +
		(patch.states.length + 1) * size("klp_state") +
		bytesOf(texts);
	const start = heap.kmalloc(bytes, true);
	if (start === 0) return 0;
	let next = start;
	const take = (length: number) => {
		const at = next;
		next = (at + Math.ceil(length / 8) * 8) | 0;
		return at;
	};
	const string = (text: string) => {
		const encoded = new TextEncoder().encode(`${text}\0`);
		const at = take(encoded.length);
		memory.write(at, encoded);
		return toU64(at);
	};
	const set = (struct: Kaddr, field: string, value: bigint) =>
		memory.setU64((struct + layout.offset(field)) | 0, value);

	/** What this core's structs have of the keys of a scenario; a `bool` is one byte, a number an `unsigned int`. */
	const setFields = (struct: Kaddr, name: string, fields: FieldValues) => {
		for (const [key, value] of Object.entries(fields)) {
			const there = fieldOf(layout, name, key);
			if (there === undefined) continue;
			const place = (struct + layout.offset(there.field)) | 0;
			if (typeof value === "boolean") memory.setU8(place, Number(value !== there.opposite));
			else memory.setU32(place, value);
		}
	};

	const at = take(size("klp_patch"));
	set(at, "klp_patch.mod", toU64(module));
	setFields(at, "klp_patch", patch.fields);
	const objs = take((patch.objs.length + 1) * size("klp_object"));
	set(at, "klp_patch.objs", toU64(objs));
	for (const [index, obj] of patch.objs.entries()) {
		const object = (objs + index * size("klp_object")) | 0;
		if (obj.name !== undefined) set(object, "klp_object.name", string(obj.name));
		const array = take((obj.funcs.length + 1) * size("klp_func"));
		set(object, "klp_object.funcs", toU64(array));
		for (const [place, func] of obj.funcs.entries()) {
			const entry = (array + place * size("klp_func")) | 0;
			set(entry, "klp_func.old_name", string(func.old_name));
			set(entry, "klp_func.new_func", func.new_func === 0 ? 0n : toU64(func.new_func));
			set(entry, "klp_func.old_sympos", BigInt(func.old_sympos));
			setFields(entry, "klp_func", func.fields);
		}
	}
	if (patch.states.length === 0) return at;
	const states = take((patch.states.length + 1) * size("klp_state"));
	set(at, "klp_patch.states", toU64(states));
	for (const [index, { id, version }] of patch.states.entries()) {
		const state = (states + index * size("klp_state")) | 0;
		set(state, "klp_state.id", id);
		memory.setU32((state + layout.offset("klp_state.version")) | 0, version);
	}
	return at;
}
