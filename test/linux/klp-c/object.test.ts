import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { KernelLayout, parseKernelCore, parseKernelLayout } from "../../../src/linux/klp-c/index.js";

const FILE = "asm/kernel-layouts/6.12-cloud-amd64.json";

test("a layout: offsets, sizes, constants with their sign, and what it does not have", () => {
	const layout = parseKernelLayout(readFileSync(FILE, "utf8"), FILE);
	// What a debugger says of that kernel, not what the file says.
	expect(layout.size("struct module")).toBe(1280);
	expect(layout.offset("module.init")).toBe(0x138);
	expect(layout.offset("module.exit")).toBe(0x4b0);
	expect(layout.constant("KLP_TRANSITION_IDLE")).toBe(-1);
	expect(layout.has("pcpu_hot.current_task")).toBe(true);
	expect(layout.has("task_struct.patchstate")).toBe(false);
	expect(() => layout.offset("task_struct.patchstate")).toThrow(
		/the layout of Linux 6\.12\.\S+ has no 'task_struct\.patchstate'\n.*did you mean 'task_struct\.patch_state'/,
	);
});

test("a constant of 64 bits", () => {
	expect(new KernelLayout("6.12", new Map([["A", 0xffffffff80000000n]])).constant("A")).toBe(-0x80000000);
});

test.each([
	["no JSON", "{", "is not JSON"],
	["another format", '{"format": 2}', "made in format 2; this klpemu reads format 1"],
	["a fact that is no number", '{"format":1,"release":"1","config":{},"compiler":"","entries":{"a":"b"}}', "entries.a"],
])("a layout file that is none: %s", (_title, text, message) => {
	expect(() => parseKernelLayout(text, "x.json")).toThrow(message);
});

test("an object that is no kernel core", () => {
	const bytes = readFileSync("asm/prebuilt/manifest.json", "utf8");
	const { file } = Object.values(JSON.parse(bytes) as Record<string, { file: string }>)[0]!;
	const object = new Uint8Array(readFileSync(`asm/prebuilt/${file}`));
	expect(() => parseKernelCore(object, "x.o")).toThrow("x.o: no kernel core: it has no section '.klpemu.info'");
});
