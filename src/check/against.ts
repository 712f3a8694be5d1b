import { beginsWith, ELF_MAGIC, KlpemuError } from "../base/index.js";
import { parseElf } from "../elf/index.js";
import { moduleAsTarget, parseVmlinux } from "./against-elf.js";
import { isSymvers, parseSymvers, parseSystemMap } from "./against-text.js";
import type { Export, KernelFacts, KernelObject } from "./kernel.js";

/** A file, as the host has read it. */
export interface InputFile {
	readonly name: string;
	readonly bytes: Uint8Array;
}

/**
 * What files say about the kernel that shall load a livepatch: a vmlinux, a System.map or /proc/kallsyms, a Module.symvers, and
 * modules' .ko. Of two files for the same object the one with code is used. Throws `CHECK_AGAINST`, and the errors of parseElf().
 */
export function readAgainst(files: readonly InputFile[]): KernelFacts {
	const objects = new Map<string, KernelObject>();
	let symvers: ReadonlyMap<string, Export> | undefined;
	let exported: ReadonlyMap<string, Export> | undefined;
	let vermagic: string | undefined;
	const add = (object: KernelObject): void => {
		const other = objects.get(object.name);
		if (other === undefined || other.code === undefined) objects.set(object.name, object);
		else if (object.code !== undefined) {
			const hint = `${other.from} is one already`;
			throw new KlpemuError("CHECK_AGAINST", `a second file of '${object.name}'`, { where: object.from, hint });
		}
	};
	for (const { name, bytes } of files) {
		if (bytes.length === 0) {
			const hint = "give a vmlinux, System.map, /proc/kallsyms, Module.symvers, or the .ko of a target";
			throw new KlpemuError("CHECK_AGAINST", "the file is empty", { where: name, hint });
		}
		if (!isElf(bytes)) {
			const text = textOf(name, bytes);
			if (isSymvers(text)) symvers = parseSymvers(text, name);
			else {
				const map = parseSystemMap(text, name);
				for (const object of map.objects) add(object);
				exported ??= map.exports;
			}
		} else if (elfType(bytes) === ET_REL) add(moduleAsTarget(parseElf(bytes, name)));
		else {
			const kernel = parseVmlinux(bytes, name);
			add(kernel.object);
			vermagic = kernel.vermagic;
			exported ??= kernel.exports;
		}
	}
	return { objects, exports: symvers ?? exported, vermagic };
}

const ET_REL = 1;

function isElf(bytes: Uint8Array): boolean {
	return bytes.length >= 20 && beginsWith(bytes, ELF_MAGIC);
}

function elfType(bytes: Uint8Array): number {
	return bytes[16]! | (bytes[17]! << 8);
}

function textOf(name: string, bytes: Uint8Array): string {
	const compressed = beginsWith(bytes, [0x1f, 0x8b]) || beginsWith(bytes, [0xfd, 0x37]);
	const isKernelImage = bytes.length > 0x206 && String.fromCharCode(...bytes.subarray(0x202, 0x206)) === "HdrS";
	if (compressed || isKernelImage) {
		throw new KlpemuError(
			"CHECK_AGAINST",
			isKernelImage ? "a compressed kernel image (vmlinuz)" : "a compressed file",
			{
				where: name,
				hint: isKernelImage ? "scripts/extract-vmlinux of the kernel's source unpacks it" : "unpack it first",
			},
		);
	}
	return new TextDecoder("latin1").decode(bytes);
}
