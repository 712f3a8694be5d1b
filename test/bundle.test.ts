/** The engine in a browser: src/index.ts as one file, in a global scope that has nothing of Node. */
import { readFileSync } from "node:fs";
import { createContext, runInContext } from "node:vm";
import { build } from "esbuild";
import { beforeAll, expect, test } from "vitest";
import type * as Engine from "../src/index.js";
import { engineImage, nodeHost } from "../src/node/index.js";
import { renderReport } from "../src/report/index.js";
import { exploreScenario, parseScenario, runScenario } from "../src/scenario/index.js";

const FILE = "scenarios/hybrid-lp1-lp2-lp3.yaml";
const TEXT = readFileSync(FILE, "utf8");

interface Bundle {
	readonly code: string;
	readonly inputs: readonly string[];
	/** What the bundle leaves for the browser to load. */
	readonly external: readonly string[];
}

async function bundle(): Promise<Bundle> {
	const result = await build({
		entryPoints: ["src/index.ts"],
		bundle: true,
		minify: true,
		// This platform knows no node: modules: an import of one is an error.
		platform: "browser",
		format: "iife",
		globalName: "engine",
		write: false,
		metafile: true,
		logLevel: "silent",
	});
	const [output] = Object.values(result.metafile.outputs);
	return {
		code: result.outputFiles[0]!.text,
		inputs: Object.keys(result.metafile.inputs),
		external: output!.imports.map(({ path }) => path),
	};
}

let bundled: Bundle;
beforeAll(async () => {
	bundled = await bundle();
});

test("src/index.ts is one file without anything of Node", () => {
	const { code, inputs, external } = bundled;
	process.stderr.write(`the engine for a browser: ${Math.round(code.length / 1024)} KiB, ${inputs.length} files\n`);
	expect(external).toEqual([]);
	expect(inputs.filter((path) => path.startsWith("src/node/") || /koffi|@alexaltea/.test(path))).toEqual([]);
	expect(inputs.filter((path) => path.startsWith("src/")).length).toBeGreaterThan(100);
});

/** The objects that a page would fetch, by path. */
async function fetched(scenario: Engine.Scenario): Promise<Map<string, Uint8Array>> {
	const host = nodeHost(FILE);
	const sources = [scenario, ...scenario.livepatches.values(), ...scenario.modules.values()].flatMap((spec) =>
		"vmlinux" in spec ? spec.vmlinux : spec.sources,
	);
	const files = new Map<string, Uint8Array>();
	for (const { path } of sources) {
		files.set(path, (await host.loadObject(path, { ibt: scenario.ibt })).bytes);
	}
	return files;
}

/** A scope with what browsers, workers and Node have besides the language, and nothing else. */
function freshEngine(): typeof Engine {
	const scope = createContext({ TextDecoder, TextEncoder });
	for (const name of ["process", "require", "Buffer", "setTimeout", "performance"]) {
		expect(runInContext(`typeof ${name}`, scope)).toBe("undefined");
	}
	runInContext(bundled.code, scope);
	return runInContext("engine", scope) as typeof Engine;
}

async function hostOf(engine: typeof Engine, scenario: Engine.Scenario): Promise<Engine.Host> {
	const objects = await fetched(scenario);
	const image = await engineImage();
	return {
		files: {
			candidates: (path) => [path],
			find: async (path) => (objects.has(path) ? path : undefined),
			read: async (path) => objects.get(path),
		},
		loadObject: async (path) => ({ bytes: objects.get(path)!, fileName: path }),
		engineImage: async () => image,
		createCpu: (_name, memory) => new engine.JitCpu(memory),
		loadCapstone: () => Promise.reject(new Error("not needed")),
	};
}

/** Without what only objects of one scope have in common. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

test("it runs a scenario from text, with objects and image passed in", async () => {
	const engine = freshEngine();
	const scenario = engine.parseScenario(TEXT, FILE);
	const report = await engine.runScenario(scenario, { host: await hostOf(engine, scenario) });
	const inNode = await runScenario(parseScenario(TEXT, FILE), { host: nodeHost(FILE), cpu: "jit" });
	expect(report.violations.length).toBeGreaterThan(0);
	expect(plain(report)).toEqual(plain(inNode));
	expect(engine.renderReport(report)).toBe(renderReport(inNode));
});

test("it explores as many states as Node does", async () => {
	const engine = freshEngine();
	const scenario = engine.parseScenario(TEXT, FILE);
	const limits = { budget: 150, invariants: new Set<Engine.Invariant>(), all: true, reduction: true };
	const machine = { host: await hostOf(engine, scenario) };
	const { exploration } = await engine.exploreScenario({ scenario, machine, ...limits });
	const inNode = await exploreScenario({
		scenario: parseScenario(TEXT, FILE),
		machine: { host: nodeHost(FILE), cpu: "jit" },
		...limits,
	});
	expect(exploration.states).toBeGreaterThan(120);
	expect(plain(exploration)).toEqual(plain(inNode.exploration));
});
