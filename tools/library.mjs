/**
 * Part of npm run build: the library. Its three entries share chunks in dist/lib, with the parts of yaml and valibot that they use, so that
 * a project that installs klpemu does not get those packages: both are larger than all of the engine. Types stay a file a module,
 * those that the entries reach.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import ts from "typescript";

const project = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const DIST = project("dist");
const ENTRIES = { index: "src/index.ts", node: "src/node/index.ts", vitest: "src/node/vitest.ts" };
/** Where the types of valibot are: those of the scenario's schema are made of them. */
const VALIBOT = join(DIST, "vendor/valibot.d.ts");

async function code() {
	const entryPoints = Object.entries(ENTRIES).map(([out, path]) => ({ in: project(path), out }));
	await build({
		entryPoints,
		outdir: join(DIST, "lib"),
		bundle: true,
		splitting: true,
		platform: "neutral",
		format: "esm",
		target: "es2023",
		// Comments and indentation are half of the code. Names and short lines stay, for stack traces.
		minifyWhitespace: true,
		minifySyntax: true,
		lineLimit: 120,
		legalComments: "none",
		logLevel: "warning",
		external: ["node:*", "koffi", "@alexaltea/*", "bullmq", "ioredis", "vitest"],
		alias: {
			yaml: project("node_modules/yaml/browser/index.js"),
			valibot: project("node_modules/valibot/dist/index.mjs"),
		},
	});
}

/** The types of `file`, and all that they import. */
function reach(file, reached) {
	if (reached.has(file)) return;
	reached.add(file);
	for (const { fileName } of ts.preProcessFile(readFileSync(file, "utf8")).importedFiles) {
		if (fileName.startsWith(".")) reach(resolve(dirname(file), fileName.replace(/\.js$/, ".d.ts")), reached);
	}
}

function types() {
	const reached = new Set();
	for (const path of Object.values(ENTRIES)) reach(project(path.replace(/^src(.*)\.ts$/, "dist$1.d.ts")), reached);
	const all = readdirSync(DIST, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".d.ts"));
	for (const path of all.map((name) => join(DIST, name))) {
		if (!reached.has(path)) rmSync(path);
		else if (path !== VALIBOT) useOwnValibot(path);
	}
	const used = [...reached].flatMap((path) => [
		...readFileSync(path, "utf8").matchAll(/(?:\bv|\/valibot\.js"\))\.(\w+)/g),
	]);
	mkdirSync(dirname(VALIBOT), { recursive: true });
	writeFileSync(VALIBOT, typesOfValibot(used.map(([, name]) => name)));
}

function useOwnValibot(path) {
	const text = readFileSync(path, "utf8");
	const own = relative(dirname(path), VALIBOT).replace(/\.d\.ts$/, ".js");
	// tsc indents with spaces, which is a tenth of it.
	const tabs = text.replaceAll(/^(?: {4})+/gm, (spaces) => "\t".repeat(spaces.length / 4));
	const changed = tabs.replaceAll(/(from |import\()"valibot"/g, `$1"${own.startsWith(".") ? own : `./${own}`}"`);
	writeFileSync(path, changed);
}

/** The declarations of these names and all that they need, without comments. */
function typesOfValibot(names) {
	const text = readFileSync(project("node_modules/valibot/dist/index.d.mts"), "utf8");
	const file = ts.createSourceFile("valibot.d.ts", text, ts.ScriptTarget.Latest);
	const declared = new Map();
	for (const statement of file.statements) {
		for (const { name } of statement.declarationList?.declarations ?? [statement]) {
			if (name !== undefined) declared.set(name.text, [...(declared.get(name.text) ?? []), statement]);
		}
	}
	const needed = new Set();
	const need = (name) => {
		if (needed.has(name) || !declared.has(name)) return;
		needed.add(name);
		for (const statement of declared.get(name)) visit(statement);
	};
	const visit = (node) => (ts.isIdentifier(node) ? need(node.text) : ts.forEachChild(node, visit));
	for (const name of names) need(name);
	const { printNode } = ts.createPrinter({ removeComments: true });
	const kept = new Set([...needed].flatMap((name) => declared.get(name)));
	const printed = file.statements
		.filter((each) => kept.has(each))
		.map((each) => printNode(ts.EmitHint.Unspecified, each, file));
	return `${printed.join("\n").replaceAll(/^ +/gm, "")}\nexport { ${[...needed].sort().join(", ")} };\n`;
}

/** Folders of modules of the command only. */
function removeEmpty(folder) {
	for (const { name } of readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())) {
		removeEmpty(join(folder, name));
	}
	if (readdirSync(folder).length === 0) rmdirSync(folder);
}

/** Of the packages whose code is in dist/lib, dist/cli and the page's worker; dist/web has a list of what else the page uses. */
function licences() {
	const texts = ["yaml", "valibot", "@alexaltea/capstone-js"].map((name) => {
		const folder = project(`node_modules/${name}`);
		const file = ["LICENSE", "LICENSE.md"].map((each) => join(folder, each)).find((each) => existsSync(each));
		if (file === undefined) throw new Error(`${name} has no file LICENSE`);
		const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
		return `${name} ${version}\n\n${readFileSync(file, "utf8").trim()}\n`;
	});
	writeFileSync(
		join(DIST, "LICENSES.txt"),
		`Code of these packages is in lib/, cli/ or web/:\n\n${texts.join("\n---\n\n")}`,
	);
}

await code();
types();
removeEmpty(DIST);
licences();
