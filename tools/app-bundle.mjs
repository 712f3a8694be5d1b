import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { rolldown } from "rolldown";

const project = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));

/** A start of the command to run a scenario needs what these import: dist/cli/app.cjs. Every other command has files of its own. */
const AT_START = ["src/node/cli/app.ts", "src/node/cli/run.ts", "src/scenario/index.ts", "src/cpu/jit/index.ts"].map(
	project,
);

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
	load: {
		filter: { id: /tier0[/\\]prebuilt\.ts$/ },
		async handler() {
			const text = Buffer.from(await buildForms()).toString("base64");
			return { moduleType: "ts", code: `export const prebuilt = () => Buffer.from("${text}", "base64");` };
		},
	},
};

/** All that `entries` import, but not what they import when they need it. */
function closure(entries, moduleInfo) {
	const reached = new Set(entries);
	for (const id of reached) for (const imported of moduleInfo(id)?.importedIds ?? []) reached.add(imported);
	return reached;
}

/** The command but for dist/cli/main.js, as files for loadApp(): their names, texts, and source maps if asked for. */
export async function bundleApp({ sourcemap = false } = {}) {
	let atStart;
	const bundle = await rolldown({
		cwd: project("."),
		input: { app: project("src/node/cli/app.ts") },
		platform: "node",
		// Loaded when needed, if at all.
		external: [/^node:/, "koffi", /^@alexaltea\//, "bullmq", "ioredis", /^tsx\//],
		// The same library as 1 module, not 70, and without the parts that nothing uses.
		resolve: { alias: { yaml: project("node_modules/yaml/browser/index.js") } },
		transform: { target: "node20", define: { "import.meta.url": "__url" } },
		plugins: [prebuiltForms],
		// Some commands import these when needed, and a start needs them.
		checks: { ineffectiveDynamicImport: false },
	});
	const { output } = await bundle.generate({
		// Node starts without its loader of ES modules.
		format: "cjs",
		// A script of node:vm cannot import in every version of Node.
		dynamicImportInCjs: false,
		// Node reads all of it at each start. tools/where.mjs finds the source of a place in it.
		minify: true,
		charset: "ascii",
		sourcemap,
		entryFileNames: "[name].cjs",
		chunkFileNames: "[name].cjs",
		codeSplitting: {
			groups: [
				{
					debugName: "start",
					name(id, modules) {
						atStart ??= closure(AT_START, (each) => modules.getModuleInfo(each));
						return atStart.has(id) || id.includes("rolldown/runtime") ? "start" : null;
					},
				},
			],
		},
	});
	await bundle.close();
	// A line of its own: the next lines are those of the source map.
	const head =
		'(function(exports,require,module){"use strict";const __url=require("node:url").pathToFileURL(module.filename).href;\n';
	return output
		.filter(({ type }) => type === "chunk")
		.map(({ fileName, code, map }) => ({ fileName, text: `${head}${code}})`, map }));
}
