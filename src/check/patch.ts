import { KlpemuError } from "../base/index.js";
import type { ElfSection } from "../elf/index.js";
import type { Code } from "./code.js";
import type { PatchSource } from "./find-patch.js";
import { CALLBACK_FIELDS, type CallbackField, type PatchLayout } from "./layout.js";
import type { ModuleFile, Pointer, Spot } from "./module-file.js";
import { followRegisters } from "./registers.js";
import type { Writes } from "./writes.js";

/** A name in a structure. `unset`: NULL in the file. `unreadable`: it points to no text. */
export type Name =
	| { readonly kind: "text"; readonly text: string; readonly at: Spot }
	| { readonly kind: "unset" }
	| { readonly kind: "unreadable" };

export interface PatchFunc {
	readonly oldName: Name;
	readonly newFunc: Pointer;
	readonly sympos: number;
}

export interface PatchObject {
	/** `unset` is vmlinux. */
	readonly name: Name;
	/** The array of functions. */
	readonly funcsAt: Spot | undefined;
	/** Undefined: klp_object.funcs is NULL. */
	readonly funcs: readonly PatchFunc[] | undefined;
	readonly callbacks: ReadonlyMap<CallbackField, Pointer>;
	/** False: the array of functions has no empty element at its end. */
	readonly terminated: boolean;
	/** The function that may fill the array at run time. */
	readonly filledBy: string | undefined;
}

/** A livepatch as it is in the file. */
export interface Patch {
	readonly form: PatchSource["form"];
	readonly mod: Pointer;
	/** Undefined: klp_patch.objs is NULL. */
	readonly objects: readonly PatchObject[] | undefined;
	readonly terminated: boolean;
	readonly filledBy: string | undefined;
	/** Undefined: set at run time. */
	readonly replace: boolean | undefined;
	readonly states: readonly { readonly id: number; readonly version: number }[];
	readonly statesTerminated: boolean;
	/** Fields of klp_patch that a function changes. */
	readonly written: readonly { readonly field: string; readonly by: string }[];
	/** The variables that the kernel uses after loading. */
	readonly data: readonly Spot[];
}

const UNSET: Name = { kind: "unset" };

/** Reads livepatches by the layout of one kernel. */
export class PatchReader {
	readonly #file: ModuleFile;
	readonly #layout: PatchLayout;
	readonly #writes: Writes;
	/** Elements that were read; a limit for damaged files, whose arrays may overlap. */
	#elements = 0;

	constructor(file: ModuleFile, layout: PatchLayout, writes: Writes) {
		this.#file = file;
		this.#layout = layout;
		this.#writes = writes;
	}

	/** Throws `CHECK_LAYOUT` if the structures in the file cannot have this layout, and `CHECK_DAMAGED`. */
	read(source: PatchSource): Patch {
		const replace = (): Pick<Patch, "replace"> => ({ replace: this.#replaceOf(source.by) });
		if (source.form === "klp-build") return { ...this.#readKlpBuild(source.section), ...replace() };
		if (source.form === "kpatch") return { ...this.#readKpatch(source.section), ...replace() };
		return this.#readPatch(source.at);
	}

	#readPatch(at: Spot): Patch {
		const { patch } = this.#layout;
		const field = (offset: number): Spot => ({ section: at.section, offset: at.offset + offset });
		const symbol = this.#file.symbolAt(at);
		const end = at.offset + Math.max(symbol?.size ?? 0, patch.replace + 1);
		const written = this.#writes.into(at.section, at.offset, end);
		const isWritten = (offset: number): boolean => written.some((write) => write.offset === at.offset + offset);
		const pointer = (offset: number): Pointer => this.#pointer(field(offset), "klp_patch");
		const objs = pointer(patch.objs);
		const objects = this.#array(objs, this.#layout.object.size, (spot) => this.#object(spot));
		const states = this.#array(pointer(patch.states), this.#layout.state.size, (spot) => this.#state(spot));
		const replace = this.#number(field(patch.replace), 1, "klp_patch");
		return {
			form: "klp_patch",
			mod: isWritten(patch.mod) ? { kind: "elsewhere", symbol: "(run time)" } : pointer(patch.mod),
			objects: objects?.elements,
			terminated: objects?.terminated ?? true,
			filledBy:
				objs.kind === "here" ? this.#filler(objs) : written.find((w) => w.offset === at.offset + patch.objs)?.by,
			replace: isWritten(patch.replace) ? undefined : replace !== 0n,
			states: states?.elements ?? [],
			statesTerminated: states?.terminated ?? true,
			written: written.map(({ offset, by }) => ({ field: this.#fieldName(offset - at.offset), by })),
			data: [
				at,
				...(objs.kind === "here" ? [objs] : []),
				...(objects?.elements ?? []).flatMap(({ funcsAt }) => funcsAt ?? []),
			],
		};
	}

	/** The constant that the init function writes to klp_patch.replace; undefined if it is not clear. */
	#replaceOf(init: Code): boolean | undefined {
		const values = new Set<boolean>();
		followRegisters(this.#file, init, ({ instruction: { row, operands } }) => {
			const [to, from] = operands;
			if (row.semantic !== "mov" || to?.kind !== "mem" || from?.kind !== "imm" || to.size !== 8) return;
			if (to.base >= 0 && to.index < 0 && to.disp === BigInt(this.#layout.patch.replace)) values.add(from.value !== 0n);
		});
		return values.size === 1 ? [...values][0] : undefined;
	}

	#fieldName(offset: number): string {
		const known = Object.entries(this.#layout.patch).find(([, value]) => value === offset);
		return `klp_patch.${known?.[0] ?? `+0x${offset.toString(16)}`}`;
	}

	/** A function that writes into the array, or takes its address and may do so. */
	#filler(array: Spot): string | undefined {
		const { section, offset } = array;
		const size = this.#file.symbolAt(array)?.size ?? 0;
		return (
			this.#writes.into(section, offset, offset + size)[0]?.by ??
			this.#writes.addressTaken(section, offset, offset + size)
		);
	}

	#object(at: Spot): PatchObject | undefined {
		const { object, func, callbacks } = this.#layout;
		const field = (offset: number): Spot => ({ section: at.section, offset: at.offset + offset });
		const name = this.#pointer(field(object.name), "klp_object");
		const funcs = this.#pointer(field(object.funcs), "klp_object");
		// The end of the array, as klp_for_each_object_static() finds it.
		if (name.kind === "null" && funcs.kind === "null") return undefined;
		const array = this.#array(funcs, func.size, (spot) => this.#func(spot, func));
		return {
			name: this.#name(name),
			funcs: array?.elements,
			callbacks: this.#callbacks(field(object.callbacks), callbacks),
			terminated: array?.terminated ?? true,
			filledBy: funcs.kind === "here" ? this.#filler(funcs) : undefined,
			funcsAt: funcs.kind === "here" ? funcs : undefined,
		};
	}

	#callbacks(at: Spot, fields: PatchLayout["callbacks"]): Map<CallbackField, Pointer> {
		const out = new Map<CallbackField, Pointer>();
		for (const { field, offset } of fields) {
			const pointer = this.#pointer({ section: at.section, offset: at.offset + offset }, "klp_callbacks");
			if (pointer.kind !== "null") out.set(field, pointer);
		}
		return out;
	}

	#func(at: Spot, fields: { oldName: number; newFunc: number; sympos: number }): PatchFunc | undefined {
		const field = (offset: number): Spot => ({ section: at.section, offset: at.offset + offset });
		const oldName = this.#pointer(field(fields.oldName), "klp_func");
		const newFunc = this.#pointer(field(fields.newFunc), "klp_func");
		const sympos = this.#number(field(fields.sympos), 8, "klp_func");
		// The end of the array, as klp_for_each_func_static() finds it.
		if (oldName.kind === "null" && newFunc.kind === "null" && sympos === 0n) return undefined;
		return { oldName: this.#name(oldName), newFunc, sympos: Number(sympos) };
	}

	#state(at: Spot): { id: number; version: number } | undefined {
		const { state } = this.#layout;
		const id = this.#number({ section: at.section, offset: at.offset + state.id }, 8, "klp_state");
		const version = this.#number({ section: at.section, offset: at.offset + state.version }, 4, "klp_state");
		return id === 0n ? undefined : { id: Number(id), version: Number(version) };
	}

	#name(pointer: Pointer): Name {
		if (pointer.kind === "null") return { kind: "unset" };
		const text = pointer.kind === "here" ? this.#file.text(pointer) : undefined;
		return text === undefined || pointer.kind !== "here" ? { kind: "unreadable" } : { kind: "text", text, at: pointer };
	}

	/**
	 * The elements of an array up to the first for which `read` gives undefined; undefined for a pointer that is NULL or leads
	 * out of the file. The array ends with its variable, also without an empty element.
	 */
	#array<T>(
		start: Pointer,
		size: number,
		read: (at: Spot) => T | undefined,
	): { elements: T[]; terminated: boolean } | undefined {
		if (start.kind !== "here") return undefined;
		const variable = this.#file.symbolAt(start);
		// Assembly may say no size.
		const end = variable?.size ? variable.value + variable.size : Number.POSITIVE_INFINITY;
		if (variable?.size && (end - start.offset) % size !== 0) throw this.#misfit(variable.name, size);
		const elements: T[] = [];
		for (let offset = start.offset; ; offset += size) {
			if (offset >= end) return { elements, terminated: false };
			this.#countElement();
			const element = read({ section: start.section, offset });
			if (element === undefined) return { elements, terminated: true };
			elements.push(element);
		}
	}

	/** `struct klp_object_ext` and `struct klp_func_ext` (include/linux/livepatch_external.h): the same for each configuration. */
	#readKlpBuild({ index: section, size }: ElfSection): Patch {
		const objects: PatchObject[] = [];
		if (size % EXT.object !== 0) throw this.#beyond("klp_object_ext");
		for (let offset = 0; offset < size; offset += EXT.object) {
			const name = this.#pointer({ section, offset }, "klp_object_ext");
			const funcs = this.#pointer({ section, offset: offset + EXT.funcs }, "klp_object_ext");
			const count = Number(this.#number({ section, offset: offset + EXT.count }, 4, "klp_object_ext"));
			const array: PatchFunc[] = [];
			for (let index = 0; index < count && funcs.kind === "here"; index++) {
				this.#countElement();
				const at = { section: funcs.section, offset: funcs.offset + index * EXT.func };
				const func = this.#func(at, { oldName: 0, newFunc: 8, sympos: 16 });
				// The init function copies all of them; the kernel ends at the first empty one.
				if (func === undefined) break;
				array.push(func);
			}
			const callbacks = this.#callbacks(
				{ section, offset: offset + EXT.callbacks },
				CALLBACK_FIELDS.map((field, index) => ({ field, offset: 8 * index })),
			);
			objects.push({ name: this.#name(name), funcs: array, callbacks, ...COPIED });
		}
		return { ...MADE_BY_INIT, form: "klp-build", objects };
	}

	/** `struct kpatch_patch_func` of kpatch's kmod/patch/kpatch-patch.h: the same since old_sympos exists. */
	#readKpatch({ index: section, size }: ElfSection): Patch {
		type Made = { name: Name; funcs: PatchFunc[]; callbacks: Map<CallbackField, Pointer> };
		const byName = new Map<string, Made>();
		const objectOf = (name: Name): Made => {
			if (name.kind !== "text") throw this.#damaged("an entry of kpatch's table names no object");
			const found = byName.get(name.text);
			if (found !== undefined) return found;
			const made: Made = { name: name.text === "vmlinux" ? UNSET : name, funcs: [], callbacks: new Map() };
			byName.set(name.text, made);
			return made;
		};
		if (size % KPATCH.size !== 0) throw this.#beyond("kpatch_patch_func");
		for (let offset = 0; offset < size; offset += KPATCH.size) {
			const func = this.#func({ section, offset }, KPATCH);
			if (func === undefined) throw this.#damaged("an entry of kpatch's table is empty");
			objectOf(this.#nameAt({ section, offset: offset + KPATCH.objname })).funcs.push(func);
		}
		for (const { field, callback, object } of this.#kpatchCallbacks()) objectOf(object).callbacks.set(field, callback);
		return {
			...MADE_BY_INIT,
			form: "kpatch",
			objects: [...byName.values()].map((object) => ({ ...object, ...COPIED })),
		};
	}

	/** `.kpatch.callbacks.pre_patch` and so on: pairs of callback and name of the object; zeros behind the last one. */
	#kpatchCallbacks(): { field: CallbackField; callback: Pointer; object: Name }[] {
		const out: { field: CallbackField; callback: Pointer; object: Name }[] = [];
		for (const field of CALLBACK_FIELDS) {
			const section = this.#file.sectionNamed(`.kpatch.callbacks.${field}`);
			for (let offset = 0; section !== undefined && offset + 16 <= section.size; offset += 16) {
				const callback = this.#pointer({ section: section.index, offset }, section.name);
				if (callback.kind === "null") break;
				out.push({ field, callback, object: this.#nameAt({ section: section.index, offset: offset + 8 }) });
			}
		}
		return out;
	}

	#nameAt(at: Spot): Name {
		return this.#name(this.#pointer(at, "kpatch's tables"));
	}

	/** Throws `CHECK_DAMAGED` if the section ends before; `what` it ends within. */
	#pointer(at: Spot, what: string): Pointer {
		return this.#file.pointer(at) ?? this.#endsWithin(what);
	}

	#number(at: Spot, bytes: number, what: string): bigint {
		return this.#file.number(at, bytes) ?? this.#endsWithin(what);
	}

	#countElement(): void {
		if (++this.#elements > MAX_ELEMENTS) throw this.#damaged(`the livepatch has more than ${MAX_ELEMENTS} elements`);
	}

	#endsWithin(what: string): never {
		throw this.#beyond(what);
	}

	#misfit(variable: string, size: number): KlpemuError {
		return new KlpemuError("CHECK_LAYOUT", `'${variable}' is not an array of elements of ${size} bytes`, {
			where: this.#file.object.fileName,
			hint: "its kernel has other structures: give --core with a core of that kernel (klpemu kernel build)",
		});
	}

	#beyond(what: string): KlpemuError {
		return this.#damaged(`the section ends within ${what}`);
	}

	#damaged(message: string): KlpemuError {
		return new KlpemuError("CHECK_DAMAGED", message, {
			where: this.#file.object.fileName,
			hint: "the file is damaged, or its kernel has other structures: give --core with a core of that kernel",
		});
	}
}

const MAX_ELEMENTS = 100_000;
const EXT = { object: 64, func: 24, funcs: 8, callbacks: 16, count: 56 } as const;
const KPATCH = { size: 56, newFunc: 0, sympos: 32, oldName: 40, objname: 48 } as const;
/** The init function makes an array of its own for each object. */
const COPIED = { terminated: true, filledBy: undefined, funcsAt: undefined } as const;
/** What the init functions of klp-build and kpatch do with each livepatch. */
const MADE_BY_INIT = {
	mod: { kind: "elsewhere", symbol: "__this_module" },
	terminated: true,
	filledBy: undefined,
	replace: undefined,
	states: [],
	statesTerminated: true,
	written: [],
	data: [],
} as const;
