import { expect, test } from "vitest";
import { CompiledModules } from "../../../src/cpu/jit/index.js";

const EMPTY = Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);

test("with more modules than the limit, the oldest one is forgotten, and no other", () => {
	const modules = new CompiledModules(2);
	const [, b, c] = ["a", "b", "c"].map((key) => {
		const module = new WebAssembly.Module(EMPTY);
		modules.add(key, module);
		return module;
	});
	expect(modules.size).toBe(2);
	expect([modules.find("a"), modules.find("b"), modules.find("c")]).toEqual([undefined, b, c]);
});
