/** The command as tools/app-bundle.mjs makes it: a place in it is found in the sources (tools/where.mjs), and it has the jit's first forms. */
import { expect, test } from "vitest";
import { FormLibrary } from "../src/cpu/jit/tier0/index.js";

interface Tools {
	bundleApp(): Promise<{ fileName: string; text: string }[]>;
	withSources(report: string): Promise<string>;
}

const tools = ["app-bundle", "where"].map((each) => import(new URL(`../tools/${each}.mjs`, import.meta.url).href));
const { bundleApp, withSources }: Tools = Object.assign({}, ...(await Promise.all(tools)));

test("the file that each start reads has the forms of instructions that it would make itself", async () => {
	const made = Buffer.from(FormLibrary.build()).toString("base64");
	const files = (await bundleApp()).filter(({ text }) => text.includes(made));
	expect(files.map(({ fileName }) => fileName)).toEqual([expect.stringContaining("start.cjs")]);
});

test.each([
	["the file that each start reads", " is a bug in klpemu", "start.cjs", "src/node/cli/app.ts"],
	["the file of a command", " files only, and to this machine only", "", "src/node/cli/serve.ts"],
])("a stack of the command leads to the sources, other lines stay: %s", async (_, text, name, source) => {
	const file = (await bundleApp()).find((each) => each.text.includes(text))!;
	expect(file.fileName).toContain(name);
	const lines = file.text.split("\n");
	const line = lines.findIndex((each) => each.includes(text));
	const place = `${file.fileName}:${line + 1}:${lines[line]!.indexOf(text) + 1}`;
	const stack = [
		"TypeError: x is not a function",
		`    at Xe.run (/usr/lib/klpemu/dist/cli/${place})`,
		"    at node:fs:28:49",
	];
	const [first, second, third] = (await withSources(stack.join("\n"))).split("\n");
	expect([first, third]).toEqual([stack[0], stack[2]]);
	expect(second).toMatch(/^ {4}at Xe\.run \(src\/node\/cli\/\w+\.ts:\d+:\d+\)$/);
	expect(second).toContain(`(${source}:`);
});
