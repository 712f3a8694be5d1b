/** Saving, restoring and hashing of objects that declare their state; what is said of a class that does not. */
import { describe, expect, test } from "vitest";
import { declareState, keyOf, keyPartsOf, restoreObjects, saveObjects } from "../../src/base/index.js";

class Leaf {
	static readonly state = declareState("Leaf", { fields: ["value"] });
	value: unknown = 1;
	readonly wiring = () => 2;
}

class Root {
	static readonly state = declareState("Root", {
		fields: ["list", "map", "set", "words", "plain"],
		unkeyed: ["count"],
		logs: ["log"],
		dropCaches: (root: Root) => {
			root.cache = undefined;
		},
	});
	list: unknown[] = [new Leaf(), 1.5, "text", true, undefined, null];
	map = new Map<unknown, unknown>([[new Leaf(), "of an object"]]);
	set = new Set<unknown>([1, 2]);
	words = new Int32Array([1, 2, 3]);
	plain: Record<string, unknown> = { a: 1, call: () => 1 };
	count = 0;
	log: string[] = ["first"];
	cache: string | undefined = "computed";
}

class Silent {
	field = 1;
}

describe("save and restore", () => {
	test("everything that has changed is as it was, in the same objects", () => {
		const root = new Root();
		const { list, map, set, words, plain, log } = root;
		const [before, saved] = [keyOf(root), saveObjects(root)];
		(list[0] as Leaf).value = 2;
		list.push("more");
		map.set("x", 1);
		set.delete(1);
		words.fill(9);
		Object.assign(plain, { a: 2, b: 3 });
		Object.assign(root, { count: 5, list: [], cache: "of the changed" });
		log.push("second");
		expect(keyOf(root)).not.toBe(before);
		restoreObjects(saved);
		expect(keyOf(root)).toBe(before);
		expect([root.list === list, list.length, (list[0] as Leaf).value]).toEqual([true, 6, 1]);
		expect([[...map.values()], [...set], [...words]]).toEqual([["of an object"], [1, 2], [1, 2, 3]]);
		expect([Object.keys(plain), plain.a, root.count, root.log, root.cache]).toEqual([
			["a", "call"],
			1,
			0,
			["first"],
			undefined,
		]);
	});

	test.each<[string, (root: Root) => void]>([
		["an item of an array", ({ list }) => list.splice(2, 1, "other")],
		["the order of an array", ({ list }) => list.reverse()],
		["a value of a map", ({ map }) => map.set([...map.keys()][0], "other")],
		[
			"a key of a map",
			({ map }) => {
				map.delete("third");
				map.set("other", 2);
			},
		],
		[
			"the order of a map",
			({ map }) => {
				map.delete("second");
				map.set("second", 1);
			},
		],
		[
			"an item of a set",
			({ set }) => {
				set.delete(2);
				set.add(3);
			},
		],
		["the last item of a set", ({ set }) => set.delete(2)],
		[
			"the order of a set",
			({ set }) => {
				set.delete(1);
				set.add(1);
			},
		],
	])("%s", (_, change) => {
		const root = new Root();
		root.map.set("second", 1).set("third", 2);
		const [before, saved] = [keyOf(root), saveObjects(root)];
		change(root);
		expect(keyOf(root)).not.toBe(before);
		restoreObjects(saved);
		expect(keyOf(root)).toBe(before);
	});

	test("a declared field that is not there is a mistake of the class", () => {
		class Wrong {
			other = 1;
			static readonly state = declareState("Wrong", { fields: ["nowhere"] });
		}
		expect(() => saveObjects(new Wrong())).toThrow("class Wrong declares the state 'nowhere', but has no such field");
	});
});

describe("a key", () => {
	const key = (change: (root: Root) => void) => {
		const root = new Root();
		change(root);
		return keyOf(root);
	};
	const same = key(() => {});

	test.each<[string, (root: Root) => void]>([
		["a value of an object behind an array", ({ list }) => Object.assign(list[0] as Leaf, { value: 3 })],
		["a fraction", ({ list }) => list.splice(1, 1, 1.25)],
		["a number that was a text", ({ list }) => list.splice(2, 1, 7)],
		["a text that reads like undefined", ({ list }) => list.splice(4, 1, "undefined")],
		["the length of an array", ({ list }) => list.pop()],
		["an entry of a map", ({ map }) => map.set("x", 1)],
		["an entry of a set", ({ set }) => set.add(3)],
		["a word", ({ words }) => words.fill(0)],
		["a name", ({ plain }) => Object.assign(plain, { b: 1 })],
		["one object in place of two equal ones", (root) => root.list.push(root.list[0])],
	])("depends on %s", (_, change) => {
		expect(key(change)).not.toBe(same);
	});

	test("depends on the name that a class declares, not on the one that it has", () => {
		const leaf = (name: string) =>
			new (class {
				static readonly state = declareState(name, { fields: ["value"] });
				value: unknown = 1;
			})();
		expect(keyOf(leaf("Leaf"))).toBe(keyOf(new Leaf()));
		expect(keyOf(leaf("Other"))).not.toBe(keyOf(new Leaf()));
	});

	test.each<[string, (root: Root) => void]>([
		["what is saved only", (root) => Object.assign(root, { count: 7 })],
		["logs", ({ log }) => log.push("more")],
		["caches", (root) => Object.assign(root, { cache: "other" })],
		["which function it is", ({ plain }) => Object.assign(plain, { call: () => 2 })],
	])("does not depend on %s", (_, change) => {
		expect(key(change)).toBe(same);
	});
});

test("a field that stands apart changes the second part of the key only, and is saved", () => {
	class Struct {
		static readonly state = declareState("Struct", {
			fields: "all",
			apart: { field: "given", text: ({ name, given }: Struct) => `${name} ${given}` },
		});
		readonly name = "lp1";
		given = 1;
		other = 1;
	}
	const struct = new Struct();
	const [before, saved] = [keyPartsOf([struct]), saveObjects(struct)];
	struct.given = 2;
	expect(keyPartsOf([struct])[0]).toBe(before[0]);
	expect(keyPartsOf([struct])[1]).not.toBe(before[1]);
	restoreObjects(saved);
	expect(keyPartsOf([struct])).toEqual(before);
	struct.other = 2;
	expect(keyPartsOf([struct])[0]).not.toBe(before[0]);
	expect(keyPartsOf([struct])[1]).toBe(before[1]);
});

test.each<[string, (root: Root, silent: Silent) => void]>([
	["Root.list[1]", ({ list }, silent) => list.splice(1, 1, silent)],
	["Root.list[0].value", ({ list }, silent) => Object.assign(list[0] as Leaf, { value: silent })],
	["Root.map[0]", ({ map }, silent) => map.set([...map.keys()][0], silent)],
	["Root.set[2]", ({ set }, silent) => set.add(silent)],
	["Root.plain.deep.er", ({ plain }, silent) => Object.assign(plain, { deep: { er: silent } })],
])("an object of a class that declares nothing is named by its place: %s", (place, put) => {
	const root = new Root();
	put(root, new Silent());
	const message = `class Silent does not declare its state (base/state.ts), and there is an object of it at ${place}`;
	expect(() => saveObjects(root)).toThrow(message);
	expect(() => keyOf(root)).toThrow(message);
});
