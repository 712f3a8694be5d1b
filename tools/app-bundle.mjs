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

/** The forms that the interpreter of the jit has from its start on: to make them takes as long as to run a small scenario. */
async function buildForms() {
	const { outputFiles } = await build({
		entryPoints: [project("src/cpu/jit/tier0/library.ts")],
		bundle: true,
		format: "esm",
		write: false,
		logLevel: "warning",
	});
	const { FormLibrary } = await import(
		`data:text/javascript;base64,${Buffer.from(outputFiles[0].text).toString("base64")}`
	);
	return FormLibrary.build();
}

const prebuiltForms = {
	name: "prebuilt forms",
	setup({ onLoad }) {
		onLoad({ filter: /tier0[/\\]prebuilt\.ts$/ }, async () => {
			const text = Buffer.from(await buildForms()).toString("base64");
			return { loader: "ts", contents: `export const prebuilt = () => Buffer.from("${text}", "base64");` };
		});
	},
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
		plugins: [prebuiltForms],
		// The text is the whole of what loadApp() compiles.
		banner: {
			js: '(function(exports,require,module){const __url=require("node:url").pathToFileURL(module.filename).href;',
		},
		footer: { js: "})" },
		...more,
	});
}
