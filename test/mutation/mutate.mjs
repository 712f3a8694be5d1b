/**
 * Mutation tests on a random sample (StrykerJS). Usage: npm run mutation [-- --count 400] [--seed 1] [--resume]
 *
 * The sample is drawn from all mutants of five folders, each with the same probability: of one seed, a smaller sample is the
 * beginning of a larger one. A mutant runs against the tests that cover it: first those of its folder, then, if it survives
 * these, many others. survivors.yaml says of survivors why no test
 * can, or need, notice them. Results are written at once, so that --resume goes on after an interruption. The exit status is
 * 1 if less than 85 of 100 mutants are killed or explained.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { Stryker } from "@stryker-mutator/core";
import { Instrumenter } from "@stryker-mutator/instrumenter";
import { parse } from "yaml";
import { keyOf, placeOf, RESULTS, SAMPLE } from "./keys.mjs";

/** Tests by the folder that they are about. */
const KLP = "test/linux/klp/{enable,kernel-rules,modules,points,release,relocs,transition}.test.ts";
const OWN = {
	"src/linux/klp": [KLP, "test/designs/*.test.ts"],
	"src/linux/ftrace": ["test/linux/ftrace/*.test.ts", "test/linux/klp/points.test.ts"],
	"src/designs": ["test/designs/*.test.ts", "test/linux/klp/enable.test.ts"],
	"src/consistency": ["test/consistency/{guest-warnings,inside,invariants,looks,trampoline}.test.ts"],
	"src/explore": ["test/explore/{schedule,restore,counts}.test.ts", "test/explore/{world,search}/*.test.ts"],
};
const SUBJECTS = Object.keys(OWN);
/** For what survives its own tests. */
const OTHERS = [
	"test/linux/{klp,ftrace}/*.test.ts",
	"test/{designs,consistency,explore}/**/*.test.ts",
	"test/machine/{machine,executor,kworker,observers}.test.ts",
	"test/golden/engine.test.ts",
	"test/scenario/{run,explore,explore-key}.test.ts",
];
const PASS = 0.85;
const KILLED = ["Killed", "Timeout", "RuntimeError"];

const { values } = parseArgs({
	options: {
		count: { type: "string", default: "400" },
		seed: { type: "string", default: "1" },
		resume: { type: "boolean", default: false },
	},
});

/** mulberry32: enough to draw a sample. */
function random(seed) {
	let state = seed >>> 0;
	return () => {
		state = (state + 0x6d2b79f5) >>> 0;
		let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
		mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
		return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
	};
}

async function allMutants() {
	const silent = new Proxy({}, { get: () => () => false });
	const names = execFileSync("git", ["ls-files", ...SUBJECTS], { encoding: "utf8" })
		.trim()
		.split("\n");
	const files = names.map((name) => ({ name, mutate: true, content: readFileSync(name, "utf8") }));
	const options = { plugins: null, excludedMutations: [], ignorers: [], noHeader: true };
	return (await new Instrumenter(silent).instrument(files, options)).mutants;
}

function sample(mutants, count, next) {
	const rest = [...mutants];
	const chosen = [];
	while (chosen.length < count && rest.length > 0) chosen.push(...rest.splice(Math.floor(next() * rest.length), 1));
	return chosen;
}

/** What is known of each mutant: the statuses of its runs. */
function results() {
	const known = new Map();
	if (!existsSync(RESULTS)) return known;
	for (const line of readFileSync(RESULTS, "utf8").trim().split("\n").filter(Boolean)) {
		const { key, status } = JSON.parse(line);
		known.set(key, [...(known.get(key) ?? []), status]);
	}
	return known;
}
const isKilled = (statuses = []) => statuses.some((status) => KILLED.includes(status));

async function run(mutants, tests) {
	if (mutants.length === 0) return;
	process.env.KLPEMU_MUTATION_TESTS = tests.join("\n");
	writeFileSync(SAMPLE, JSON.stringify(mutants.map(keyOf)));
	await new Stryker({
		mutate: [...new Set(mutants.map(({ fileName, location }) => `${fileName}:${placeOf(location)}`))],
		testRunner: "vitest",
		plugins: ["@stryker-mutator/vitest-runner", "./sample-plugin.mjs"].map((name) => import.meta.resolve(name)),
		checkers: ["sample"],
		vitest: { configFile: "test/mutation/vitest.config.mjs", related: false },
		coverageAnalysis: "perTest",
		concurrency: 1,
		reporters: ["result", "progress-append-only"],
		ignorePatterns: [".cache", "dist", "coverage", "bench", "test/mutation/node_modules"],
		// A mutant may have types that do not fit.
		disableTypeChecks: true,
		// On a busy machine a test takes many times as long; loops without an end are found by counting their turns.
		timeoutMS: 120_000,
		timeoutFactor: 10,
		dryRunTimeoutMinutes: 120,
		allowEmpty: true,
	}).runMutationTest();
}

/** The code that a mutant replaces, in one line. */
function codeOf({ fileName, location: { start, end } }) {
	const lines = readFileSync(fileName, "utf8")
		.split("\n")
		.slice(start.line, end.line + 1);
	lines[lines.length - 1] = lines.at(-1).slice(0, end.column);
	lines[0] = lines[0].slice(start.column);
	return lines.map((line) => line.trim()).join(" ");
}

function tell(chosen, known) {
	const explained = parse(readFileSync(new URL("survivors.yaml", import.meta.url), "utf8")) ?? [];
	let [killed, reasons, untested] = [0, 0, 0];
	for (const mutant of chosen) {
		const { fileName, location, mutatorName, replacement } = mutant;
		const [statuses, code] = [known.get(keyOf(mutant)), codeOf(mutant)];
		if (statuses === undefined) untested++;
		else if (isKilled(statuses)) killed++;
		else if (explained.some((one) => one.file === fileName && one.code === code && one.becomes === replacement))
			reasons++;
		else {
			const where = `${fileName}:${location.start.line + 1}`;
			console.log(`${where} ${mutatorName} (${statuses.join(", ")})\n\t- ${code}\n\t+ ${replacement}`);
		}
	}
	const tested = chosen.length - untested;
	const part = (100 * (killed + reasons)) / tested;
	console.log(
		`${tested} of ${chosen.length} tested: ${killed} killed, ${reasons} explained, ${part.toFixed(1)} % of them`,
	);
	return untested === 0 && part >= 100 * PASS;
}

mkdirSync(".cache", { recursive: true });
if (!values.resume) rmSync(RESULTS, { force: true });
const every = await allMutants();
const chosen = sample(every, Number(values.count), random(Number(values.seed)));
console.log(`${chosen.length} of ${every.length} mutants, seed ${values.seed}`);
const at = (known, mutant) => known.get(keyOf(mutant)) ?? [];
for (const [folder, tests] of Object.entries(OWN)) {
	const known = results();
	await run(
		chosen.filter((mutant) => mutant.fileName.startsWith(`${folder}/`) && at(known, mutant).length === 0),
		tests,
	);
}
const known = results();
await run(
	chosen.filter((mutant) => at(known, mutant).length === 1 && !isKilled(at(known, mutant))),
	OTHERS,
);
process.exitCode = tell(chosen, results()) ? 0 : 1;
