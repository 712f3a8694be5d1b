import { KlpemuError, nearest } from "../../base/index.js";

/**
 * Facts about the structures of one kernel build: offsets of fields, sizes of types, values of constants. They come from a kernel
 * core file (`.klpemu.layout`), or from a layout file of asm/kernel-layouts/. asm/kernel-env/layout.c lists what there is.
 */
export class KernelLayout {
	/** `6.12.117+deb12-cloud-amd64` */
	readonly release: string;
	/** Values by name, in the order of the table; constants below 0 have their two's complement in 64 bits. */
	readonly entries: ReadonlyMap<string, bigint>;
	/** The same, signed: each access to a struct asks for one. */
	readonly #constants: ReadonlyMap<string, number>;

	constructor(release: string, entries: ReadonlyMap<string, bigint>) {
		this.release = release;
		this.entries = entries;
		this.#constants = new Map([...entries].map(([name, value]) => [name, Number(BigInt.asIntN(64, value))]));
	}

	/** Bytes from the start of a struct to a field: `offset("task_struct.patch_state")`. Throws `LAYOUT_MISSING`. */
	offset(field: string): number {
		return this.constant(field);
	}

	/** Bytes of a type, named as in C: `size("struct module")`. Throws `LAYOUT_MISSING`. */
	size(type: string): number {
		return this.constant(`sizeof(${type})`);
	}

	/** The value of a constant, signed: `constant("TIF_PATCH_PENDING")`. Throws `LAYOUT_MISSING`. */
	constant(name: string): number {
		const value = this.#constants.get(name);
		if (value !== undefined) return value;
		const near = nearest(name, [...this.entries.keys()]);
		const list = "asm/kernel-env/layout.c has the list; klpemu kernel build makes a file with all of them";
		throw new KlpemuError("LAYOUT_MISSING", `the layout of Linux ${this.release} has no '${name}'`, {
			hint: near === undefined ? list : `did you mean '${near}'? ${list}`,
		});
	}

	/** True if this kernel has it: some fields depend on release and configuration. */
	has(name: string): boolean {
		return this.entries.has(name);
	}
}
