/**
 * Part of npm run build: the command as a few files. dist/cli/main.js is small and loads dist/cli/app.cjs: Node takes longer to find and
 * compile 200 modules than to run a scenario. See tools/app-bundle.mjs for what is in which file, tools/code-cache.mjs for *.cache.
 */
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { bundleApp } from "./app-bundle.mjs";
import { makeCodeCache } from "./code-cache.mjs";

const project = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));

// tsc compiles the command too, to dist/node/cli: nothing uses that. src/node/project.ts says why the bundle is in dist/cli.
for (const folder of ["dist/cli", "dist/node/cli"]) rmSync(project(folder), { recursive: true, force: true });
mkdirSync(project("dist/cli"));
for (const { fileName, text } of await bundleApp()) writeFileSync(project(`dist/cli/${fileName}`), text);
await build({
	bundle: true,
	platform: "node",
	target: "node20",
	// Node starts without its loader of ES modules.
	format: "cjs",
	minify: true,
	logLevel: "warning",
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
						export const { runCli, runThread } = loadApp(__dirname + "/app.cjs", require).app;`,
				}));
			},
		},
	],
});
chmodSync(project("dist/cli/main.js"), 0o755);
writeFileSync(project("dist/cli/package.json"), '{ "type": "commonjs" }\n');

await makeCodeCache();
