/**
 * Mutation tests on a random sample, with the mutants of StrykerJS. Usage:
 *
 *     npm run mutation [-- --count 400] [--seed 1] [--budget 15] [--resume] [--slow]
 *
 * The sample is drawn from all mutants of five folders, each with the same probability: of one seed, a smaller sample is the
 * beginning of a larger one. First, each test runs once without a mutant, which shows the mutants that it reaches. Then each mutant
 * runs against the tests that reach it, the fast ones first, until one fails, or until they have taken --budget seconds
 * without a mutant. --resume goes on after an interruption, and gives survivors the tests that they have not had. survivors.yaml says of
 * survivors why no test can, or need, notice them. The exit status is 1 if less than 85 of 100 mutants are killed or explained.
 */
import { execFileSync } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { parseArgs } from "node:util";
import { parse } from "yaml";
import { Child } from "./child.mjs";
import { allMutants, keyOf, makeSandbox } from "./sandbox.mjs";
import { typeChecker } from "./types.mjs";

const SUBJECTS = ["src/linux/klp", "src/linux/ftrace", "src/designs", "src/consistency", "src/explore"];
/** Tests that run in one process and may reach these folders. */
const TESTS = [
	"test/{linux,designs,consistency,machine,scenario,explore}/**/*.test.ts",
	"test/golden/engine.test.ts",
	"test/node/{campaign,session}.test.ts",
	"test/node/cli/{cli,explore,traces}.test.ts",
];
/** Those of them that take long: for survivors, with --slow. */
const SLOW = [
	"test/linux/klp-c/{agree,explore}.test.ts",
	"test/linux/klp/{random,injection}.test.ts",
	"test/linux/{exports,module}/*.test.ts",
	"test/consistency/{schedules,trampoline}.test.ts",
	"test/explore/{counts,endless,guest-code,hybrid,order,preemption,reduction,tracers}.test.ts",
	"test/machine/snapshot.test.ts",
	"test/golden/engine.test.ts",
	"test/scenario/{selftest,kernel-objects,bad}.test.ts",
	"test/node/**/*.test.ts",
];
const PASS = 0.85;
/** Which results tell a mutant: a test has failed, has not come to its end, or the code does not compile (npm run typecheck). */
const CAUGHT = ["killed", "timeout", "compiler"];
/** A result of a mutant in each line. */
const RESULTS = ".cache/mutation-results.jsonl";
/** What each test reaches, in milliseconds and hits. */
const REACHED = ".cache/mutation-reached.jsonl";

const { values } = parseArgs({
	options: {
		count: { type: "string", default: "400" },
		seed: { type: "string", default: "1" },
		budget: { type: "string", default: "15" },
		only: { type: "string", default: "" },
		jobs: { type: "string", default: "2" },
		slow: { type: "boolean", default: false },
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

function sample(mutants, count, next) {
	const rest = [...mutants];
	const chosen = [];
	while (chosen.length < count && rest.length > 0) chosen.push(...rest.splice(Math.floor(next() * rest.length), 1));
	return chosen;
}

function filesOf(patterns) {
	const script = `shopt -s globstar nullglob; printf '%s\\n' ${patterns.join(" ")}`;
	return execFileSync("bash", ["-c", script], { encoding: "utf8" }).trim().split("\n");
}
function filesOfTests() {
	const slow = values.slow ? [] : filesOf(SLOW);
	return filesOf(TESTS).filter((file) => !slow.includes(file));
}

/** Hits of beforeAll have the key of the suite. */
function hitsOf(test, perTest) {
	const hits = {};
	for (const key of Object.keys(perTest).filter((one) => test === one || (one.endsWith("/") && test.startsWith(one))))
		for (const [id, count] of Object.entries(perTest[key])) hits[id] = (hits[id] ?? 0) + count;
	return hits;
}

/** Calls `job` for each of a list, by --jobs processes at a time. */
async function share(list, job) {
	const rest = list[Symbol.iterator]();
	const work = async () => {
		let own = new Child();
		for (const one of rest) {
			await job(one, own);
			if (own.isOver || own.isOld) {
				own.end();
				own = new Child();
			}
		}
		own.end();
	};
	await Promise.all(Array.from({ length: Number(values.jobs) }, work));
}

/** Runs all tests without a mutant, and keeps of each file the tests that succeed, with the hits of each mutant, by its number. */
async function measure() {
	const known = existsSync(REACHED) ? readFileSync(REACHED, "utf8").trim().split("\n").filter(Boolean) : [];
	const reached = known.map((line) => JSON.parse(line));
	const files = filesOfTests().map((source) => source.replace(/\.ts$/, ".js"));
	const missing = files.filter((file) => !reached.some((one) => one.file === file));
	await share(missing, async (file, child) => {
		const answer = await child.ask({ op: "measure", file }, 900_000);
		const { tests = [{ test: file, failure: answer.reason ?? answer.op }], perTest = {}, ofNone = {} } = answer;
		const bad = tests.filter(({ failure }) => failure !== undefined);
		if (bad.length > 0) console.log(`left out: ${bad.length}, ${bad[0].test}: ${bad[0].failure.split("\n")[0]}`);
		const good = tests.filter(({ failure, test }) => failure === undefined && !test.endsWith("/"));
		const result = { file, tests: good.map(({ test, ms }) => ({ test, ms, hits: hitsOf(test, perTest) })), ofNone };
		reached.push(result);
		appendFileSync(REACHED, `${JSON.stringify(result)}\n`);
		const ms = good.reduce((sum, one) => sum + one.ms, 0);
		console.log(`${file}: ${good.length} tests, ${(ms / 1000).toFixed(1)} s`);
	});
	return reached;
}

/** What is known of each mutant: its last result, and all tests that it has survived. */
function results() {
	const known = new Map();
	if (!existsSync(RESULTS)) return known;
	for (const line of readFileSync(RESULTS, "utf8").trim().split("\n").filter(Boolean)) {
		const { key, tests, ...rest } = JSON.parse(line);
		const before = known.get(key)?.survived ?? [];
		known.set(key, { ...rest, survived: rest.status === "survived" ? [...before, ...tests] : before });
	}
	return known;
}

/** Where the tests of a source are: src/linux/klp/core.ts is in the room linux/klp. */
const roomOf = (file) =>
	file
		.replace(/^(src|test)\//, "")
		.split("/")
		.slice(0, file.includes("/linux/") ? 2 : 1)
		.join("/");

/**
 * The tests for a mutant as long as they fit into the budget, those of one file together. First the fastest of each file, then the second
 * ones: tests of one file look at similar things. The files of the mutant's own room go first.
 */
function chunksFor({ fileName }, covering, budget) {
	const byFile = new Map();
	for (const one of covering.toSorted((a, b) => a.ms - b.ms))
		byFile.set(one.file, [...(byFile.get(one.file) ?? []), one]);
	const ranked = [...byFile.values()].flatMap((tests) => tests.map((one, rank) => ({ one, rank })));
	const away = ({ file }) => (roomOf(file) === roomOf(fileName) ? 0 : 10);
	ranked.sort((a, b) => a.rank + away(a.one) - b.rank - away(b.one) || a.one.ms - b.one.ms);
	const chunks = new Map();
	let left = budget;
	for (const { one } of ranked) {
		if (left < one.ms && chunks.size > 0) continue;
		left -= one.ms;
		if (!chunks.has(one.file)) chunks.set(one.file, []);
		chunks.get(one.file).push(one);
	}
	return [...chunks];
}

/** The mutants with numbers of their own, and the tests that reach them. */
class Runs {
	#ids;
	#tests;
	#reached;
	constructor(ids, reached) {
		this.#ids = ids;
		this.#reached = reached;
		this.#tests = reached.flatMap(({ file, tests }) => tests.map((one) => ({ file, ...one })));
	}
	/** The tests that reach a mutant. One that takes effect while its module loads is reached by all that reach its folder. */
	covering(mutant) {
		const id = this.#ids.get(keyOf(mutant));
		const own = this.#tests.filter(({ hits }) => hits[id] !== undefined);
		const isStatic = this.#reached.some(({ ofNone }) => ofNone[id] !== undefined);
		if (!isStatic || own.length > 0) return { own, isStatic, loads: false };
		const folder = SUBJECTS.find((subject) => mutant.fileName.startsWith(`${subject}/`));
		const near = [...this.#ids].filter(([key]) => key.startsWith(folder)).map(([, one]) => one);
		return {
			own: this.#tests.filter(({ hits }) => near.some((one) => hits[one] !== undefined)),
			isStatic,
			loads: true,
		};
	}
	/** One attempt of a mutant: { status, by, reason }, or { status, tests } of one that survives. */
	async attempt(mutant, tests, child, isStatic) {
		const id = this.#ids.get(keyOf(mutant));
		const chunks = chunksFor(mutant, tests, Number(values.budget) * 1000);
		for (const [file, some] of chunks) {
			const hitLimit = 10_000 + 100 * some.reduce((sum, { hits }) => sum + (hits[id] ?? 0), 0);
			const slowest = some.reduce((most, { ms }) => Math.max(most, ms), 0);
			const names = some.map(({ test }) => test);
			const order = { op: "try", file, tests: names, mutant: id, hitLimit };
			const { op, killed, spoiled, failed, reason } = await child.ask(order, 20_000 + 10 * slowest);
			if (op === "silent" || op === "ended") return { status: "timeout", by: file, reason: op };
			if (op === "broken" && !isStatic) throw new Error(`cannot load ${file}: ${reason}`);
			if (op === "broken") return { status: "killed", by: file, reason };
			if (spoiled) return { status: "spoiled", by: failed.test, reason: failed.failure };
			if (killed) return { status: "killed", by: failed.test, reason: failed.failure };
		}
		return { status: "survived", tests: chunks.flatMap(([, some]) => some.map(({ test }) => test)) };
	}
	/** The same in a process of its own; from the start, for a static mutant. */
	async alone(mutant, tests, isStatic) {
		const child = new Child(isStatic ? { STATIC_MUTANT: this.#ids.get(keyOf(mutant)) } : {});
		const result = await this.attempt(mutant, tests, child, isStatic);
		child.end();
		return result;
	}
	/** Tries a mutant. A test that fails without it too, afterwards, does not kill it: once more, in a new process. */
	async try(mutant, known, child) {
		const { own, isStatic, loads } = this.covering(mutant);
		const had = new Set(known?.survived);
		let rest = own.filter(({ test }) => !had.has(test));
		if (own.length === 0) return { status: "unreached" };
		if (rest.length === 0) return undefined;
		if (loads) return { ...(await this.alone(mutant, rest, true)), of: own.length };
		let result = await this.attempt(mutant, rest, child, false);
		while (result.status === "spoiled") {
			child.end();
			const by = ({ test }) => test === result.by;
			const again = await this.alone(mutant, rest.filter(by), false);
			if (again.status !== "survived")
				return { ...again, status: again.status.replace("spoiled", "killed"), of: own.length };
			rest = rest.filter((one) => !by(one));
			result = await this.alone(mutant, rest, false);
		}
		if (result.status === "survived" && isStatic) result = await this.alone(mutant, rest, true);
		return { ...result, of: own.length };
	}
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
	const counts = { killed: 0, timeout: 0, compiler: 0 };
	let [reasons, untested] = [0, 0];
	for (const mutant of chosen) {
		const { fileName, location, mutatorName, replacement } = mutant;
		const [result, code] = [known.get(keyOf(mutant)), codeOf(mutant)];
		if (result === undefined) untested++;
		else if (CAUGHT.includes(result.status)) counts[result.status]++;
		else if (explained.some((one) => one.file === fileName && one.code === code && one.becomes === replacement))
			reasons++;
		else {
			const where = `${fileName}:${location.start.line + 1}:${location.start.column + 1}`;
			const tried = result.status === "survived" ? `${result.survived.length} of ${result.of} tests` : "no test";
			console.log(`${where} ${mutatorName} (${result.status}; ${tried})\n\t- ${code}\n\t+ ${replacement}`);
		}
	}
	const tested = chosen.length - untested;
	const { killed, timeout, compiler } = counts;
	const part = (100 * (killed + timeout + compiler + reasons)) / tested;
	const how = `${killed} killed, ${timeout} without an end, ${compiler} that do not compile, ${reasons} explained`;
	console.log(`${tested} of ${chosen.length} tested: ${how}: ${part.toFixed(1)} %`);
	return untested === 0 && part >= 100 * PASS;
}

mkdirSync(".cache", { recursive: true });
if (!values.resume) for (const file of [RESULTS, REACHED]) rmSync(file, { force: true });
const every = await allMutants(SUBJECTS);
const chosen = sample(every, Number(values.count), random(Number(values.seed)));
console.log(`${chosen.length} of ${every.length} mutants, seed ${values.seed}`);
const ids = await makeSandbox(chosen);
const runs = new Runs(ids, await measure());
const before = results();
const isOpen = (mutant) => !CAUGHT.includes(before.get(keyOf(mutant))?.status);
const open = chosen.filter((mutant) => isOpen(mutant) && keyOf(mutant).includes(values.only));
open.sort((a, b) => Number(before.has(keyOf(a))) - Number(before.has(keyOf(b))));
let compile;
await share(open, async (mutant, child) => {
	const key = keyOf(mutant);
	let result = await runs.try(mutant, before.get(key), child);
	if (result === undefined) return;
	if (result.status === "survived" || result.status === "unreached") {
		compile ??= typeChecker();
		const reason = compile(mutant);
		if (reason !== undefined) result = { status: "compiler", reason };
	}
	appendFileSync(RESULTS, `${JSON.stringify({ key, ...result })}\n`);
	console.log(`${result.status} ${key.replaceAll("\n", " ").slice(0, 120)}`);
});
process.exitCode = tell(chosen, results()) ? 0 : 1;
