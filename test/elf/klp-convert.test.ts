import { describe, expect, it } from "vitest";
import { KLP_SYMBOL, klpConvert, parseElf } from "../../src/elf/index.js";
import { buildObject, DATA } from "./objects.js";

/** An object with a pointer to each symbol, all of them undefined. */
function converted(...names: readonly string[]) {
	const relocations = names.map((symbol, i) => ({ offset: 8 * i, type: 1, symbol }));
	const data = { name: ".data", data: new Uint8Array(8 * names.length), flags: DATA, relocations };
	return klpConvert(
		parseElf(
			buildObject(
				[data],
				names.map((name) => ({ name, section: "undef" })),
			),
			"lp.o",
		),
	);
}

describe("klpConvert", () => {
	it("moves relocations to sections of the object whose loading applies them", () => {
		const object = converted(
			".klp.sym.ext4.f,1",
			"plain",
			".klp.sym.vmlinux.g.part.0,2",
			".klp.sym.rela.ext4.vmlinux.h.isra.0,0",
			".klp.sym.rela.btrfs.ext4.i,3",
		);
		expect(object.sections[1]!.relocations.map(({ symbol }) => symbol.name)).toEqual(["plain"]);
		const moved = object.klpRelocations.map(({ name, objname, target, relocations }) => [
			...[name, objname, target],
			relocations.map(({ offset, symbol }) => [offset, symbol.name, symbol.livepatch]),
		]);
		expect(moved).toEqual([
			[
				...[".klp.rela.ext4..data", "ext4", 1],
				[
					[0, ".klp.sym.ext4.f,1", true],
					[24, ".klp.sym.vmlinux.h.isra.0,0", true],
				],
			],
			[".klp.rela.vmlinux..data", "vmlinux", 1, [[16, ".klp.sym.vmlinux.g.part.0,2", true]]],
			[".klp.rela.btrfs..data", "btrfs", 1, [[32, ".klp.sym.ext4.i,3", true]]],
		]);
	});

	it.each([
		".klp.sym.rela.f,0",
		".klp.sym.rela.vmlinux.f,0",
		".klp.sym.rela.ext4.vmlinux.,0",
		".klp.sym.rela.ext4.vmlinux.1f,0",
		".klp.sym.vmlinux.f",
		".klp.sym.vmlinux.f,",
		".klp.sym.vmlinux.,0",
		".klp.sym..f,0",
		`.klp.sym.${"m".repeat(56)}.f,0`,
		`.klp.sym.vmlinux.${"f".repeat(512)},0`,
	])("leaves %s undefined: it is no symbol of an object 'rela', or of any other", (name) => {
		const object = converted(name);
		expect(object.klpRelocations).toEqual([]);
		expect(object.sections[1]!.relocations).toHaveLength(1);
		expect(KLP_SYMBOL.test(name)).toBe(false);
	});

	it("is linear: 200,000 relocations", () => {
		const names = Array.from({ length: 4 }, (_, i) => `.klp.sym.m${i}.f,0`);
		const count = 200_000;
		const relocations = Array.from({ length: count }, (_, i) => ({ offset: 8 * i, type: 1, symbol: names[i % 4]! }));
		const data = { name: ".data", data: new Uint8Array(8 * count), flags: DATA, relocations };
		const object = klpConvert(
			parseElf(
				buildObject(
					[data],
					names.map((name) => ({ name, section: "undef" })),
				),
				"lp.o",
			),
		);
		expect(object.klpRelocations.map(({ relocations: { length } }) => length)).toEqual([
			50_000, 50_000, 50_000, 50_000,
		]);
	});
});
