import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const project = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));

/** What both files of the command have in common. */
export const OPTIONS = {
	bundle: true,
	platform: "node",
	target: "node20",
	// Node starts without its loader of ES modules.
	format: "cjs",
	charset: "ascii",
	// Node reads all of it at each start. tools/where.mjs finds the source of a place in it.
	minify: true,
	logLevel: "warning",
};

/** The command but for dist/cli/main.js, with esbuild's result. `more`: further options. */
export function bundleApp(more) {
	return build({
		...OPTIONS,
		entryPoints: [project("src/node/cli/app.ts")],
		outfile: project("dist/cli/app.cjs"),
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
		...more,
	});
}
