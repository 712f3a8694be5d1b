/** The command as tools/app-bundle.mjs makes it: where a place in it is in the sources (tools/where.mjs), and the forms that it has. */
import { expect, test } from "vitest";
import { FormLibrary } from "../src/cpu/jit/tier0/index.js";

interface Tools {
	bundleApp(more: { write: false }): Promise<{ outputFiles: { text: string }[] }>;
	withSources(report: string): Promise<string>;
}

const tools = ["app-bundle", "where"].map((name) => import(new URL(`../tools/${name}.mjs`, import.meta.url).href));
const { bundleApp, withSources }: Tools = Object.assign({}, ...(await Promise.all(tools)));
const command = (await bundleApp({ write: false })).outputFiles[0]!.text;

test("the command has the forms of instructions that it would make itself", () => {
	const [built, ...more] = [...command.matchAll(/Buffer\.from\("([A-Za-z0-9+/=]{10000,})","base64"\)/g)];
	expect(more).toEqual([]);
	expect(built?.[1] === Buffer.from(FormLibrary.build()).toString("base64")).toBe(true);
});

test("a stack of the command leads to the sources, other lines stay", async () => {
	const lines = command.split("\n");
	const line = lines.findIndex((each) => each.includes("is a bug in klpemu"));
	const column = lines[line]!.indexOf(" is a bug in klpemu");
	const stack = [
		"TypeError: x is not a function",
		`    at Xe.run (/usr/lib/node_modules/klpemu/dist/cli/app.cjs:${line + 1}:${column + 1})`,
		"    at node:internal/main/run_main_module:28:49",
	];
	const [first, second, third] = (await withSources(stack.join("\n"))).split("\n");
	expect([first, third]).toEqual([stack[0], stack[2]]);
	expect(second).toMatch(/^ {4}at Xe\.run \(src\/node\/cli\/app\.ts:\d+:\d+\)$/);
});
