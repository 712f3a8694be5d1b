/**
 * Part of npm run build: the command as two files. dist/cli/main.js is small and loads dist/cli/app.cjs, which has all the rest: Node
 * takes longer to find and compile 200 modules than to run a scenario. See tools/code-cache.mjs for app.cjs.cache.
 */
import { chmodSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { makeCodeCache } from "./code-cache.mjs";

const project = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const APP = project("dist/cli/app.cjs");

// tsc compiles the command too, to dist/node/cli: nothing uses that. src/node/project.ts says why the bundle is in dist/cli.
for (const folder of ["dist/cli", "dist/node/cli"]) rmSync(project(folder), { recursive: true, force: true });
const options = {
	bundle: true,
	platform: "node",
	target: "node20",
	// Node starts without its loader of ES modules.
	format: "cjs",
	charset: "ascii",
	// Node reads all of it at each start. Names stay, for the stack in the report of a bug.
	minifyWhitespace: true,
	minifySyntax: true,
	logLevel: "warning",
};
await build({
	...options,
	entryPoints: [project("src/node/cli/app.ts")],
	outfile: APP,
	// Loaded when needed, if at all.
	external: ["koffi", "@alexaltea/*", "bullmq", "ioredis"],
	// By require(): a script of node:vm cannot import in every version of Node.
	supported: { "dynamic-import": false },
	// The same library as 1 module, not 70, and without the parts that nothing uses.
	alias: { yaml: project("node_modules/yaml/browser/index.js") },
	define: { "import.meta.url": "__url" },
	// The text is the whole of what loadApp() compiles.
	banner: {
		js: '(function(exports,require,module){const __url=require("node:url").pathToFileURL(module.filename).href;',
	},
	footer: { js: "})" },
});
await build({
	...options,
	entryPoints: [project("src/node/cli/main.ts")],
	outfile: project("dist/cli/main.js"),
	plugins: [
		{
			name: "app.cjs",
			setup({ onResolve, onLoad }) {
				onResolve({ filter: /^\.\/app\.js$/ }, () => ({ path: "app", namespace: "cached" }));
				onLoad({ filter: /.*/, namespace: "cached" }, () => ({
					resolveDir: project("tools"),
					contents: `
						import { loadApp } from "./cached-app.mjs";
						export const { runCli, runThread } = loadApp(__dirname + "/app.cjs").app;`,
				}));
			},
		},
	],
});
chmodSync(project("dist/cli/main.js"), 0o755);
writeFileSync(project("dist/cli/package.json"), '{ "type": "commonjs" }\n');

await makeCodeCache();
