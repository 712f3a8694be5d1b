import { declareState } from "../../base/index.js";
import type { Image, ImageSymbol } from "../../elf/index.js";
import type { Kaddr } from "../../memory/index.js";

/** kernel/kallsyms.c: the functions of vmlinux and of the modules that are loaded. */
export class Kallsyms {
	static readonly state = declareState("Kallsyms", { fields: ["images"] });

	/** In the order they were added: vmlinux first. */
	readonly images: Image[] = [];

	/** Adds an image that is in memory: its symbols can be found from now on. */
	add(image: Image): void {
		this.images.push(image);
	}

	/** Removes an image. */
	remove(image: Image): void {
		const index = this.images.indexOf(image);
		if (index >= 0) this.images.splice(index, 1);
	}

	/** Symbols called `name` in vmlinux (`object` undefined) or a module, in kallsyms order. */
	lookup(object: string | undefined, name: string): readonly ImageSymbol[] {
		return this.images.find((image) => image.name === (object ?? "vmlinux"))?.lookup(name) ?? [];
	}

	/**
	 * The function that `address` lies in: its size, and the offset of `address` in it. As in get_symbol_pos(), a function ends where
	 * the next symbol begins: padding is part of it, and what gcc has put elsewhere (NAME.cold) is a symbol of its own.
	 */
	kallsyms_lookup_size_offset(address: Kaddr): { readonly size: number; readonly offset: number } | undefined {
		for (const image of this.images) {
			const hit = image.symbolAt(address);
			if (hit !== undefined) return { size: hit.size, offset: hit.offset };
		}
		return undefined;
	}
}
