/** The command's code with V8's code cache, as tools/bundle.mjs makes both. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Script } from "node:vm";
import { afterAll, beforeAll, expect, test } from "vitest";

type LoadApp = (
	path: string,
	require: NodeJS.Require,
) => { readonly scripts: ReadonlyMap<string, Script>; readonly app: { readonly twice: (x: number) => number } };

const require = createRequire(import.meta.url);
let loadApp: LoadApp;
let folder = "";

/** A file that no other test has loaded: in one process, V8 compiles the same text only once. */
function appFile(name: string): string {
	const path = join(folder, `${name}.cjs`);
	writeFileSync(path, `(function(exports,require){exports.twice=(x)=>require("node:path").sep.length*2*x})//${name}`);
	return path;
}

beforeAll(async () => {
	({ loadApp } = (await import(new URL("../tools/cached-app.mjs", import.meta.url).href)) as { loadApp: LoadApp });
	folder = mkdtempSync(join(tmpdir(), "klpemu-test-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

test("without a cache the code is compiled", () => {
	const path = appFile("alone");
	const { scripts, app } = loadApp(path, require);
	expect(scripts.get(path)!.cachedDataRejected).toBeUndefined();
	expect(app.twice(21)).toBe(42);
});

test.each([
	["the cache of the same code", (own: Buffer) => own, false],
	["no cache", () => Buffer.from("no cache"), true],
	["an empty file", () => Buffer.alloc(0), true],
	// Its first words tell the version of V8.
	["the cache of another V8", (own: Buffer) => own.fill(0x5a, 0, 16), true],
])("%s: V8 refuses what is not its own, and compiles the code", (name, cacheOf, refused) => {
	const code = readFileSync(appFile(name), "latin1");
	const own = new Script(code).createCachedData();
	const path = appFile(name);
	writeFileSync(`${path}.cache`, cacheOf(own));
	const { scripts, app } = loadApp(path, require);
	expect(scripts.get(path)!.cachedDataRejected).toBe(refused);
	expect(app.twice(21)).toBe(42);
});

test("a file beside it is loaded once, also in a circle", () => {
	const main = join(folder, "main.cjs");
	writeFileSync(main, `(function(exports,require){exports.twice=(x)=>require("./part.cjs").twice(x)})`);
	const part = `(function(exports,require,module){const main=require("./main.cjs");globalThis.parts=(globalThis.parts??0)+1;
		exports.twice=(x)=>globalThis.parts*2*x+(main.twice===undefined)+!module.filename.endsWith("part.cjs")})`;
	writeFileSync(join(folder, "part.cjs"), part);
	const { app, scripts } = loadApp(main, require);
	expect([app.twice(21), app.twice(1)]).toEqual([42, 2]);
	expect([...scripts.keys()]).toEqual([main, join(folder, "part.cjs")]);
});
