/** tools/where.mjs: a place in the command, whose names are short, is found in the sources. */
import { expect, test } from "vitest";

interface Tools {
	bundleApp(more: { write: false }): Promise<{ outputFiles: { text: string }[] }>;
	withSources(report: string): Promise<string>;
}

test("a stack of the command leads to the sources, other lines stay", async () => {
	const tools = ["app-bundle", "where"].map((name) => import(new URL(`../tools/${name}.mjs`, import.meta.url).href));
	const { bundleApp, withSources }: Tools = Object.assign({}, ...(await Promise.all(tools)));
	const lines = (await bundleApp({ write: false })).outputFiles[0]!.text.split("\n");
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
