/** Part of npm run build: the command as few files. Node takes longer to find and compile 200 modules than to run a scenario. */
import { chmodSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const project = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));

// tsc compiles the command too, to dist/node/cli: nothing uses that. src/node/project.ts says why the bundle is in dist/cli.
for (const folder of ["dist/cli", "dist/node/cli"]) rmSync(project(folder), { recursive: true, force: true });
await build({
	entryPoints: [project("src/node/cli/main.ts")],
	outdir: project("dist/cli"),
	bundle: true,
	splitting: true,
	platform: "node",
	format: "esm",
	target: "node20",
	// Node reads and compiles all of it at each start. Names stay, for the stack in the report of a bug.
	minifyWhitespace: true,
	minifySyntax: true,
	// Loaded when needed, if at all.
	external: ["koffi", "@alexaltea/*"],
	// For the CommonJS modules in it.
	banner: {
		js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
	},
	logLevel: "warning",
});
chmodSync(project("dist/cli/main.js"), 0o755);
