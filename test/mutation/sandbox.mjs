/**
 * A copy of the project, as JavaScript with all mutants of the sample in it, each behind a switch (Stryker's instrumenter). The tests of the
 * copy import vitest.mjs instead of Vitest.
 */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import { Instrumenter } from "@stryker-mutator/instrumenter";
import { transform } from "esbuild";

export const SANDBOX = resolve(".cache/mutation");

const gitFiles = (...patterns) =>
	execFileSync("git", ["ls-files", "-co", "--exclude-standard", ...patterns], { encoding: "utf8" })
		.trim()
		.split("\n");

async function instrument(files) {
	const silent = new Proxy({}, { get: () => () => false });
	const options = { plugins: null, excludedMutations: [], ignorers: [], noHeader: false };
	return new Instrumenter(silent).instrument(files, options);
}

/** Lines and columns count from 0. */
const placeOf = ({ start, end }) => `${start.line}:${start.column}-${end.line}:${end.column}`;
/** Names a mutant: where it is, of which kind, and what the code becomes. */
export function keyOf({ fileName, location, mutatorName, replacement }) {
	return [relative(process.cwd(), resolve(fileName)), placeOf(location), mutatorName, replacement].join(" ");
}

/** Every mutant of some folders. */
export async function allMutants(folders) {
	const files = gitFiles(...folders).map((name) => ({ name, mutate: true, content: readFileSync(name, "utf8") }));
	return (await instrument(files)).mutants;
}

async function writeScript(name, text) {
	const { code } = await transform(text, { loader: "ts", format: "esm", target: "node20" });
	writeFileSync(`${SANDBOX}/${name.replace(/\.ts$/, ".js")}`, code);
}

/** Makes the sandbox. The result: the number that switches a mutant on, by its key. */
export async function makeSandbox(mutants) {
	rmSync(SANDBOX, { recursive: true, force: true });
	for (const name of gitFiles("src", "test", "tools", "bench", "web")) {
		if (!existsSync(name)) continue;
		mkdirSync(dirname(`${SANDBOX}/${name}`), { recursive: true });
		if (name.endsWith(".ts")) await writeScript(name, readFileSync(name, "utf8"));
		else cpSync(name, `${SANDBOX}/${name}`);
	}
	for (const name of ["asm", "docs", "scenarios", "schema", "package.json", "README.md"])
		cpSync(name, `${SANDBOX}/${name}`, { recursive: true });
	symlinkSync(resolve(".cache"), `${SANDBOX}/.cache`);
	for (const folder of ["node_modules", "node_modules/@vitest"]) {
		mkdirSync(`${SANDBOX}/${folder}`);
		for (const name of readdirSync(folder))
			if (name !== "vitest" && name !== "@vitest") symlinkSync(resolve(folder, name), `${SANDBOX}/${folder}/${name}`);
	}
	mkdirSync(`${SANDBOX}/node_modules/vitest`);
	cpSync("test/mutation/vitest.mjs", `${SANDBOX}/node_modules/vitest/index.mjs`);
	writeFileSync(`${SANDBOX}/node_modules/vitest/package.json`, '{ "exports": "./index.mjs" }');

	const files = [...new Set(mutants.map(({ fileName }) => fileName))].map((name) => ({
		name,
		mutate: mutants.filter(({ fileName }) => fileName === name).map(({ location }) => location),
		content: readFileSync(name, "utf8"),
	}));
	const instrumented = await instrument(files);
	for (const { name, content } of instrumented.files) await writeScript(name, content);
	return new Map(instrumented.mutants.map((mutant) => [keyOf(mutant), mutant.id]));
}
